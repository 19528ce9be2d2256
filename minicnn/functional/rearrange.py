"""The ops that compute nothing and only put elements elsewhere: their gradients put them back.

``reshape`` and ``flatten`` share the memory of their input, as NumPy's do; the others copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd import OPERATORS, Array, Tensor, record
from minicnn.errors import DTypeError, OptionError, OutOfRangeError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def concat(tensors: Sequence[Input], dim: int = 0) -> Tensor:
    """Lay tensors end to end along one axis.

    Parameters
    ----------
    tensors : list or tuple of Tensors or arrays
        At least one; of one dtype, and of one shape except along ``dim``.
    dim : int
        The axis; 1 joins the feature maps of (N, C, H, W).

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If there is nothing to join, or another axis differs.
    OptionError
        If ``dim`` is not one of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.concat([np.array([[1.0], [2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])], 1).numpy()
    array([[1., 3., 4.],
           [2., 5., 6.]])
    """
    op = "concat"
    if not isinstance(tensors, (list, tuple)):
        raise DTypeError(f"{op}: tensors must be a list or tuple, got {type(tensors).__name__}")
    parts = [check.tensor(op, f"tensors[{i}]", part) for i, part in enumerate(tensors)]
    if not parts:
        raise ShapeError(f"{op}: tensors must hold at least one, got none")
    arrays = [part.array for part in parts]
    if len({array.dtype for array in arrays}) > 1:
        check.same_dtype(op, **{f"tensors[{i}]": part for i, part in enumerate(parts)})
    axis = check.axis(op, "dim", dim, arrays[0].ndim)
    if len({(array.ndim, array.shape[:axis], array.shape[axis + 1 :]) for array in arrays}) > 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ShapeError(f"{op}: shapes must agree except along dim={dim}, got {shapes}")

    k = twin(op)

    def piece(start: int, size: int) -> Any:
        return lambda grad_out: k.concat_grad_input(grad_out, axis=axis, start=start, size=size)

    pairs, start = [], 0
    for part in parts:
        size = part.array.shape[axis]
        pairs.append((part, piece(start, size)))
        start += size
    return record(op, k.concat_forward(arrays, axis=axis), *pairs)


def reshape(input: Input, *shape: int | Sequence[int]) -> Tensor:
    """Return the same elements, in the same order, in another shape.

    Parameters
    ----------
    input : Tensor or array, any shape
    *shape : int, or one tuple
        The sizes; one of them may be -1: whatever is left.

    Returns
    -------
    Tensor
        On the memory of the input if that is a Tensor.

    Raises
    ------
    ShapeError
        If the number of elements would change.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.reshape(np.array([1.0, 2.0, 3.0, 4.0]), 2, -1).numpy()
    array([[1., 2.],
           [3., 4.]])
    """
    return _reshape("reshape", input, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)


def flatten(input: Input, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Join the axes ``start_dim .. end_dim`` into one.

    Parameters
    ----------
    input : Tensor or array, any shape
        A number becomes one axis of size 1.
    start_dim, end_dim : int
        The first and the last axis to join; ``flatten(x, 1)`` leaves the batch axis alone.

    Returns
    -------
    Tensor
        On the memory of the input if that is a Tensor.

    Raises
    ------
    OptionError
        If an axis does not exist, or the last comes before the first.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.flatten(np.ones((8, 16, 5, 5)), 1).shape
    (8, 400)
    """
    op = "flatten"
    shape = np.shape(input) or (1,)
    first = check.axis(op, "start_dim", start_dim, len(shape))
    last = check.axis(op, "end_dim", end_dim, len(shape))
    if first > last:
        raise OptionError(f"{op}: start_dim must not come after end_dim, got {start_dim} and {end_dim}")
    return _reshape(op, input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def _reshape(op: str, input: Input, shape: Sequence[Any]) -> Tensor:
    x = check.numbers(op, "input", input)
    sizes = [check.integer(op, "shape", size, -1) for size in shape]
    known = math.prod(size for size in sizes if size >= 0)
    if sizes.count(-1) == 1 and known and x.size % known == 0:
        sizes[sizes.index(-1)] = x.size // known
    if -1 in sizes or math.prod(sizes) != x.size:
        raise ShapeError(f"{op}: shape must keep the {x.size} elements of {x.shape}, got {tuple(shape)}")
    own = x.shape
    return record(op, x.array.reshape(sizes), (x, lambda grad_out: grad_out.reshape(own)), block=x._block)


def transpose(input: Input, *axes: int | Sequence[int]) -> Tensor:
    """Return the axes in another order.

    Parameters
    ----------
    input : Tensor or array, any shape
    *axes : int, or one tuple
        Every axis once, as NumPy wants them; reversed by default.

    Raises
    ------
    OptionError
        If an axis is missing, does not exist or is named twice.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.transpose(np.ones((8, 32, 32, 3)), 0, 3, 1, 2).shape
    (8, 3, 32, 32)
    """
    op = "transpose"
    x = check.numbers(op, "input", input)
    given: Any = axes[0] if len(axes) == 1 and isinstance(axes[0], (tuple, list)) else axes
    order = [check.axis(op, "axes", a, x.ndim) for a in given] if axes else list(range(x.ndim))[::-1]
    if sorted(order) != list(range(x.ndim)):
        raise OptionError(f"{op}: axes must name each of the {x.ndim} axes once, got {tuple(given)}")
    back = sorted(range(x.ndim), key=order.__getitem__)
    return record(op, x.array.transpose(order).copy(), (x, lambda grad_out: grad_out.transpose(back)))


def getitem(input: Input, index: Any) -> Tensor:
    """Take elements by NumPy's indexing: ``input[index]``.

    Parameters
    ----------
    input : Tensor or array
    index : int, slice, ``...``, None, boolean or integer array or Tensor, or a tuple of these
        An element that is taken twice sums its gradients.

    Returns
    -------
    Tensor
        A copy, unlike NumPy's slices.

    Raises
    ------
    OutOfRangeError
        If the index lies outside, or is not one.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.getitem(np.array([[1.0, 2.0], [3.0, 4.0]]), (slice(None), 1)).numpy()
    array([2., 4.])
    """
    x = check.numbers("getitem", "input", input)
    try:
        where = _index(index)
        out = np.array(x.array[where], order="C")
    except (IndexError, TypeError, ValueError, OverflowError) as error:
        raise OutOfRangeError(f"getitem: the index must fit the shape {x.shape}, got {error}") from None
    shape = x.shape
    may_repeat = any(isinstance(part, np.ndarray) for part in (where if isinstance(where, tuple) else (where,)))

    def grad_input(grad_out: Array) -> Array:
        grad = np.zeros(shape, grad_out.dtype)
        if may_repeat:
            np.add.at(grad, where, grad_out)
        else:
            grad[where] = grad_out
        return grad

    return record("getitem", out, (x, grad_input))


def _index(index: Any) -> Any:
    """The index in NumPy's terms, its arrays copied: backward() needs it again."""
    if isinstance(index, tuple):
        return tuple(_index(part) for part in index)
    if isinstance(index, list):
        return np.array(index, dtype=None if index else np.intp)
    return np.array(index) if isinstance(index, (Tensor, np.ndarray)) else index


OPERATORS.update(reshape=reshape, flatten=flatten, transpose=transpose, getitem=getitem)
