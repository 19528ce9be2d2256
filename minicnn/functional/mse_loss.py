"""Mean squared error."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.functional.reduction import NAMES, reduced
from minicnn.kernels import twin


def mse_loss(input: Input, target: Input, *, reduction: str = "mean") -> Tensor:
    """Return the squared differences, or their mean or sum.

    Parameters
    ----------
    input : Tensor or array, any shape
    target : Tensor or array, the same shape
        Nothing is broadcast: (N, 1) against (N,) is a mistake more often than a wish.
    reduction : "mean", "sum" or "none"
        The mean is over all elements; the mean of nothing is NaN.

    Returns
    -------
    Tensor, shape () or, without reduction, the input's

    Raises
    ------
    ShapeError
        If the shapes differ.
    DTypeError
        If the arrays are not both float32 or both float64.
    OptionError
        If the reduction is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.mse_loss(np.array([1.0, 2.0]), np.array([1.0, 5.0])).item()
    4.5
    """
    op = "mse_loss"
    x, t = check.tensor(op, "input", input), check.tensor(op, "target", target)
    check.same_dtype(op, input=x, target=t)
    check.shape(op, "target", t, x.shape, "the input's")
    check.choice(op, "reduction", reduction, NAMES)

    k = twin(op)
    xa, ta = x.array, t.array
    out, spread = reduced(k.mse_loss_forward(xa, ta), reduction, x.size)
    return record(
        op,
        out,
        (x, lambda grad_out: k.mse_loss_grad_input(spread(grad_out), xa, ta)),
        (t, lambda grad_out: k.mse_loss_grad_input(spread(grad_out), ta, xa)),
    )
