"""How strongly the loss bends along each weight: back-propagation once more, with everything squared.

LeCun et al. 1998, appendix C, and LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), section 7. For a unit
``a_i = sum_j u_ij x_j`` with output ``f(a_i)`` the Gauss-Newton approximation (no second derivatives of f, no cross
terms) says::

    d2E/da_i^2  = f'(a_i)^2  d2E/df_i^2         through an activation: the slope squared
    d2E/du_ij^2 = x_j^2      d2E/da_i^2         for a connection: its input squared
    d2E/dx_j^2  = sum_i u_ij^2 d2E/da_i^2       to the layer before: the weights squared

These are the formulas of the gradient, with squares. So a copy of the layer with squared weights, run on its squared
input, has exactly these curvatures as its gradients, and our own backward pass computes them. A weight that many
connections share has the sum of theirs (the paper's equation for h_kk), which is what a gradient does, too.

At the end of the network stands the second derivative of the loss by the output units, for LeNet's equation 8 the
constant 2. It is measured here as the difference of two gradients, in float64, so that any loss will do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

import minicnn.functional as F
from minicnn import nn
from minicnn.autograd import Array, Tensor, no_grad
from minicnn.errors import OptionError
from minicnn.nn import Module, Parameter
from minicnn.train.optimizer import Loss

# a = sum of weight * x: the copy with squares
WEIGHTED = (nn.Conv2d, nn.DepthwiseConv2d, nn.Linear, nn.Subsample2d)
# f(a), element by element: the slope squared
ELEMENTWISE = (nn.ReLU, nn.ReLU6, nn.Tanh, nn.Sigmoid, nn.ScaledTanh)
# each output is one of the inputs: it hands on what arrives, as it would a gradient
SELECTING = (nn.MaxPool2d, nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout2d)


def diagonal_curvature(model: Module, inputs: Array, labels: Array, loss: Loss) -> dict[Tensor, Array]:
    """Estimate the second derivative of the loss by each parameter.

    Parameters
    ----------
    model : Module
        A chain of layers, each of a kind that this file names; an RBF layer may be the last.
    inputs : array, shape (N, ...)
        What the network sees.
    labels : array of integers, shape (N,)
    loss : function
        ``(outputs, labels) -> Tensor``, the mean over the images.

    Returns
    -------
    dict of parameter to array
        Of the parameter's shape, none negative: the mean over the images.

    Raises
    ------
    OptionError
        If a layer is of another kind or the network is no chain.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import nn
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> half_square = lambda outputs, labels: (outputs * outputs).mean() * 0.5
    >>> diagonal_curvature(layer, np.float32([[1, 3], [1, 4]]), np.array([0, 0]), half_square)[layer.weight].round(4)
    array([[ 1. , 12.5]], dtype=float32)
    """
    steps = _run(model, inputs)
    last, x = steps[-1]
    if isinstance(last, nn.RBF):  # no sum of weighted inputs: its distances count as a part of the loss
        codes = last.codes.array.astype(np.float64)
        bend = _bend(lambda t: loss(F.rbf(t, codes), labels), x)
        steps.pop()
    else:
        with no_grad():
            outputs = last(x).array
        bend = _bend(lambda t: loss(t, labels), outputs)
    curvature: dict[Tensor, Array] = {}
    for layer, x in reversed(steps):
        bend = _through(layer, x, bend, curvature)
    return {parameter: total / len(inputs) for parameter, total in curvature.items()}


def _run(model: Module, inputs: Array) -> list[tuple[Module, Array]]:
    """Each layer with its input, in the order of computing, in evaluation mode."""
    steps: list[tuple[Module, Array]] = []
    flowing = inputs

    def watch(layer: Module, given: tuple[Tensor | Array, ...], output: Tensor) -> None:
        nonlocal flowing
        x = np.asarray(given[0])
        if len(given) != 1 or not np.shares_memory(x, flowing):
            raise OptionError(f"curvature: the network must be a chain of layers, got another input at {layer}")
        steps.append((layer, x))
        flowing = output.array

    with no_grad(), ExitStack() as stack:
        for layer in model.modules():
            if not list(layer.children()):
                stack.enter_context(layer.register_forward_hook(watch))
        stack.enter_context(model.inference())
        model(inputs)
    return steps


def _bend(loss: Callable[[Tensor], Tensor], x: Array, width: float = 1e-4) -> Array:
    """Second derivative of each image's loss by each element of its row of ``x``, shape of ``x``."""
    at = x.astype(np.float64)
    result = np.zeros_like(at)
    flat = at.reshape(len(at), -1)
    for j in range(flat.shape[1]):
        slopes = []
        for shift in (width, -width):
            moved = flat.copy()
            moved[:, j] += shift
            t = Tensor(moved.reshape(at.shape), requires_grad=True)
            loss(t).backward()
            slopes.append(np.asarray(t.grad).reshape(flat.shape)[:, j])
        result.reshape(flat.shape)[:, j] = (slopes[0] - slopes[1]) / (2 * width)
    # The loss is a mean over the images; noise around 0 must not become a negative curvature.
    bend: Array = np.maximum(result * len(at), 0).astype(x.dtype)
    return bend


def _through(layer: Module, x: Array, bend: Array, curvature: dict[Tensor, Array]) -> Array:
    """Note the curvature of the layer's parameters; return that of its input."""
    if isinstance(layer, WEIGHTED):
        squared = copy.copy(layer)
        names = [name for name, _ in layer.named_parameters()]
        for name in names:
            setattr(squared, name, Parameter(getattr(layer, name).array ** 2))
        result = _gradient(squared, x**2, bend)
        for name in names:
            curvature[getattr(layer, name)] = np.asarray(getattr(squared, name).grad)
        return result
    if isinstance(layer, ELEMENTWISE):
        slope = _gradient(layer, x, np.ones_like(bend))
        return bend * slope * slope
    if isinstance(layer, SELECTING):
        return _gradient(layer, x, bend)
    raise OptionError(f"curvature: no rule for a layer of the kind {type(layer).__name__}")


def _gradient(layer: Module, x: Array, grad_out: Array) -> Array:
    t = Tensor(x, requires_grad=True)
    output: Tensor = layer.forward(t)
    output.backward(grad_out)
    return np.asarray(t.grad)
