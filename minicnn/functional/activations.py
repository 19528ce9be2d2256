"""The functions between layers. Each gradient is computed from the output, so the input is not kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from minicnn.autograd import Array, Tensor, record
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin

Answer = TypeVar("Answer")


def once(gradient: Callable[[Array], Answer]) -> Callable[[Array], Answer]:
    """Return ``gradient``, computed once though several inputs ask for it: a tape is walked once."""
    known: list[Answer] = []

    def remembered(grad_out: Array) -> Answer:
        if not known:
            known.append(gradient(grad_out))
        return known[0]

    return remembered


def let_through(activation: str | None, out: Array) -> Callable[[Array], Array]:
    """Return what gives the part of grad_out that the activation, the last step of an op, let through to ``out``."""
    if activation is None:
        return lambda grad_out: grad_out
    grad_input: Any = getattr(twin("activations"), f"{activation}_grad_input")
    return once(lambda grad_out: grad_input(grad_out, out))


def _activation(op: str, input: Input) -> Tensor:
    x = check.tensor(op, "input", input)
    k = twin("activations")
    out = getattr(k, f"{op}_forward")(x.array)
    return record(op, out, (x, lambda grad_out: getattr(k, f"{op}_grad_input")(grad_out, out)))


def relu(input: Input) -> Tensor:
    """Set negative numbers to 0: ``max(input, 0)``.

    Parameters
    ----------
    input : Tensor or array, any shape

    Returns
    -------
    Tensor, the input's shape
        NaN stays NaN. The slope at 0 is 0.

    Raises
    ------
    DTypeError
        If the input is not float32 or float64.

    Notes
    -----
    Krizhevsky et al. 2012, section 3.1, after Nair and Hinton 2010.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.relu(np.array([-1.0, 0.0, 2.0])).numpy()
    array([0., 0., 2.])
    """
    return _activation("relu", input)


def relu6(input: Input) -> Tensor:
    """Clip to 0 .. 6: ``min(max(input, 0), 6)``.

    Parameters
    ----------
    input : Tensor or array, any shape

    Returns
    -------
    Tensor, the input's shape
        NaN stays NaN. The slope at 0 and at 6 is 0.

    Raises
    ------
    DTypeError
        If the input is not float32 or float64.

    Notes
    -----
    MobileNet's published weights were trained with it; Krizhevsky 2010, "Convolutional deep belief networks on
    CIFAR-10".

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.relu6(np.array([-1.0, 2.0, 7.0])).numpy()
    array([0., 2., 6.])
    """
    return _activation("relu6", input)


def tanh(input: Input) -> Tensor:
    """Hyperbolic tangent, from -1 to 1.

    Parameters
    ----------
    input : Tensor or array, any shape

    Returns
    -------
    Tensor, the input's shape

    Raises
    ------
    DTypeError
        If the input is not float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.tanh(np.array([-1000.0, 0.0, 1000.0])).numpy()
    array([-1.,  0.,  1.])
    """
    return _activation("tanh", input)


def sigmoid(input: Input) -> Tensor:
    """Logistic function ``1 / (1 + exp(-input))``, from 0 to 1; no input overflows.

    Parameters
    ----------
    input : Tensor or array, any shape

    Returns
    -------
    Tensor, the input's shape

    Raises
    ------
    DTypeError
        If the input is not float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.sigmoid(np.array([-1000.0, 0.0, 1000.0])).numpy()
    array([0. , 0.5, 1. ])
    """
    return _activation("sigmoid", input)


def scaled_tanh(input: Input) -> Tensor:
    """LeNet-5's squashing function ``1.7159 * tanh(2/3 * input)``, for which f(1) = 1 nearly.

    Parameters
    ----------
    input : Tensor or array, any shape

    Returns
    -------
    Tensor, the input's shape

    Raises
    ------
    DTypeError
        If the input is not float32 or float64.

    Notes
    -----
    LeCun et al. 1998, equation 6 and appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.scaled_tanh(np.array([-1.0, 0.0, 1.0])).numpy().round(4)
    array([-1.,  0.,  1.])
    """
    return _activation("scaled_tanh", input)
