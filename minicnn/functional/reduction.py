"""What all losses end with: many losses become one number, or stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.autograd import Array
from minicnn.kernels import twin

NAMES = ("mean", "sum", "none")


def reduced(losses: Array, reduction: str, divisor: float) -> tuple[Array, Callable[[Array], Array]]:
    """Return the result, and the function from its gradient to the gradient of every single loss.

    ``"mean"`` is the sum over ``divisor``; the mean of nothing is NaN, as in PyTorch.
    """
    if reduction == "none":
        return losses, lambda grad_out: grad_out
    below = float(divisor) if reduction == "mean" else 1.0
    shape = losses.shape

    def spread(grad_out: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.full(shape, grad_out / np.float64(below), grad_out.dtype)

    return twin("reduction").reduction_forward(losses, below), spread
