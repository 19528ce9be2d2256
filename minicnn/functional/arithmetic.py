"""Arithmetic with broadcasting, sums, means and the ops that only rearrange: what Tensor's operators do.

NumPy itself computes them (its loops are compiled already); the gradients are the point. Broadcasting
copies a value into many places, so its gradient sums over these places: ``_unbroadcast``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import OPERATORS, Array, Tensor, record
from minicnn.errors import ShapeError
from minicnn.functional import check


def _operands(op: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Two tensors of one dtype that broadcast; a Python number takes the dtype of the other."""
    if not isinstance(a, (Tensor, np.ndarray)):
        a = np.asarray(a, dtype=b.dtype)
    if not isinstance(b, (Tensor, np.ndarray)):
        b = np.asarray(b, dtype=a.dtype)
    x, y = check.tensor(op, "a", a), check.tensor(op, "b", b)
    check.same_dtype(op, a=x, b=y)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        raise ShapeError(f"{op}: shapes must broadcast, got {x.shape} and {y.shape}") from None
    return x, y


def _unbroadcast(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which a value of ``shape`` was copied: (..., n, m) -> (n, 1), say."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    stretched = tuple(i + extra for i, size in enumerate(shape) if size == 1 and grad.shape[i + extra] != 1)
    summed: Array = grad.sum(axis=(*range(extra), *stretched), keepdims=True).reshape(shape)
    return summed


def sub(a: Any, b: Any) -> Tensor:
    """A - b, with broadcasting."""
    x, y = _operands("sub", a, b)
    xs, ys = x.shape, y.shape
    return record("sub", x.array - y.array, (x, lambda g: _unbroadcast(g, xs)), (y, lambda g: _unbroadcast(-g, ys)))


OPERATORS.update(sub=sub)
