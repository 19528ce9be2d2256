"""Fully connected layer."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.errors import ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def linear(input: Input, weight: Input, bias: Input | None = None) -> Tensor:
    """Multiply by the transposed weight matrix and add the bias: ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor or array, shape (..., I)
    weight : Tensor or array, shape (O, I)
    bias : Tensor or array, shape (O,), optional

    Returns
    -------
    Tensor, shape (..., O)

    Raises
    ------
    ShapeError
        If I or O disagree.
    DTypeError
        If the arrays are not all float32 or all float64.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.linear(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.0, 1.0])).numpy()
    array([[11., 18.]])
    """
    op = "linear"
    x, w = check.tensor(op, "input", input), check.tensor(op, "weight", weight)
    b = None if bias is None else check.tensor(op, "bias", bias)
    check.same_dtype(op, input=x, weight=w, bias=b)
    xa, wa = x.array, w.array
    shape = xa.shape
    if wa.ndim != 2:
        raise ShapeError(f"{op}: weight must have 2 axes (O, I), got shape {wa.shape}")
    c_out, c_in = wa.shape
    if not shape or shape[-1] != c_in:
        raise ShapeError(f"{op}: input.shape[-1] must equal weight.shape[1], got input {shape}, weight {wa.shape}")
    if b is not None:
        check.shape(op, "bias", b, (c_out,), "(O,)")

    k = twin(op)
    rows = xa.reshape(-1, c_in)
    out = k.linear_forward(rows, wa, None if b is None else b.array)
    pairs = [
        (x, lambda grad_out: k.linear_grad_input(grad_out.reshape(-1, c_out), wa).reshape(shape)),
        (w, lambda grad_out: k.linear_grad_weight(grad_out.reshape(-1, c_out), rows)),
    ]
    if b is not None:
        pairs.append((b, lambda grad_out: k.linear_grad_bias(grad_out.reshape(-1, c_out))))
    return record(op, out.reshape(*shape[:-1], c_out), *pairs)
