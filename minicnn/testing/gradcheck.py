"""Is this gradient right? Compare it with finite differences along a random direction.

A gradient of a million numbers is checked by one number. Take a random cotangent ``u`` (of the output's
shape) and a random direction ``v`` (of the inputs' shapes). The slope of ``<u, f(x + t v)>`` at ``t = 0`` must
equal ``<grad, v>``, where ``grad`` is what ``backward(u)`` leaves in the inputs. A wrong gradient agrees by
chance only on a set of directions of measure zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from minicnn.autograd import Array, Tensor, no_grad
from minicnn.errors import DTypeError, GraphError


class GradientReport(NamedTuple):
    """What ``gradcheck`` found: the two slopes and their difference relative to the gradient's size."""

    numeric: float
    analytic: float
    relative_error: float


def pull_back(
    function: Callable[..., Tensor], inputs: Mapping[str, Array], grad_out: Array
) -> tuple[Array, dict[str, Array]]:
    """Run ``function(**inputs)`` and send ``grad_out`` back: the output and the gradient of each input.

    Examples
    --------
    >>> import numpy as np
    >>> out, grads = pull_back(lambda a, b: a * b, {"a": np.array([2.0]), "b": np.array([5.0])}, np.array([1.0]))
    >>> out, grads["a"], grads["b"]
    (array([10.]), array([5.]), array([2.]))
    """
    tensors = {name: Tensor(array, requires_grad=True) for name, array in inputs.items()}
    out = function(**tensors)
    out.backward(grad_out)
    return out.numpy(), {
        name: np.zeros_like(t.array) if t.grad is None else t.grad.numpy() for name, t in tensors.items()
    }


def gradcheck(
    function: Callable[..., Tensor],
    inputs: Mapping[str, Array],
    *,
    tolerance: float = 1e-6,
    step: float = 1e-4,
    seed: int = 0,
) -> GradientReport:
    """Check the gradients of ``function`` at ``inputs`` along one random direction.

    Parameters
    ----------
    function : callable
        Takes the inputs by name as Tensors, returns a Tensor of any shape; must give the same result twice.
    inputs : mapping of str to float64 array
        The point, away from kinks and ties by more than a few ``step``.
    tolerance : float
        The greatest allowed relative error.
    step : float
        Of the central difference of fourth order, whose own error is about ``step**4``.
    seed : int
        Of the direction and the cotangent. (A cotangent of ones would make the check of batch norm void:
        its outputs always sum to the same.)

    Raises
    ------
    GraphError
        If the slopes disagree, or one is not a number; the message gives both.
    DTypeError
        If an input is not float64.

    Examples
    --------
    >>> import numpy as np
    >>> report = gradcheck(lambda a, b: a * b, {"a": np.array([2.0, 3.0]), "b": np.array([5.0, 7.0])})
    >>> report.relative_error < 1e-6
    True
    """
    for name, array in inputs.items():
        if array.dtype != np.float64:
            raise DTypeError(
                f"gradcheck: {name} must be float64 (finite differences need the digits), got {array.dtype}"
            )
    rng = np.random.default_rng(seed)
    directions = {name: rng.standard_normal(array.shape) for name, array in inputs.items()}

    def run(t: float) -> Array:
        with no_grad():
            return function(**{name: Tensor(a + t * directions[name]) for name, a in inputs.items()}).numpy()

    cotangent = rng.standard_normal(run(0.0).shape)
    _, grads = pull_back(function, inputs, cotangent)
    with np.errstate(all="ignore"):  # a NaN fails the comparison below
        near = run(step) - run(-step)
        far = run(2 * step) - run(-2 * step)
        numeric = float(np.sum(cotangent * (8 * near - far))) / (12 * step)
        analytic = float(sum(np.sum(grads[name] * directions[name]) for name in inputs))
        # The slopes may cancel to nearly nothing; what counts is the error beside the gradient's own length.
        length = float(np.sqrt(sum(np.sum(grads[name] ** 2) for name in inputs)))
    error = abs(numeric - analytic) / max(abs(numeric), abs(analytic), length, 1e-12)
    report = GradientReport(numeric, analytic, error)
    if not error <= tolerance:
        raise GraphError(
            f"gradcheck: the slope along a random direction must agree to {tolerance:g}, got {numeric:.10g} by "
            f"differences and {analytic:.10g} by backward() (relative error {error:.2g})"
        )
    return report
