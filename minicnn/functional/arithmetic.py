"""Arithmetic with broadcasting, functions of single elements, sums, means and matrix products.

What Tensor's operators do. Broadcasting copies a value into many places, so its gradient sums over these places:
``_summed_to``. Division by zero, the logarithm of a negative number and overflow give NumPy's infinities and NaNs
without a warning; a training run that should stop at them looks for them (``minicnn.train.fit`` does).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minicnn.autograd import FLOATS, OPERATORS, Array, Gradient, Tensor, record
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin

Operand = Input | float  # a number takes the dtype of the other operand
Dims = int | tuple[int, ...] | None

quietly = np.errstate(all="ignore")


def _operands(op: str, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
    """Two tensors of one dtype that broadcast."""
    x, y = check.tensor(op, "a", _like(op, a, b)), check.tensor(op, "b", _like(op, b, a))
    check.same_dtype(op, a=x, b=y)
    if _broadcast(x.shape, y.shape) is None:
        raise ShapeError(f"{op}: shapes must broadcast, got {x.shape} and {y.shape}")
    return x, y


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape that both broadcast to, if there is one."""
    if a == b:  # NumPy's answer takes 2 us
        return a
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        return None


def _like(op: str, value: Any, other: Any) -> Any:
    """Give a number the dtype of the other operand; NumPy's scalars are numbers, so np.sqrt(2) * x stays float32."""
    if isinstance(value, (Tensor, np.ndarray)) or not isinstance(other, (Tensor, np.ndarray)):
        return value
    if not isinstance(value, (int, float, np.integer, np.floating)):
        return value
    try:
        return np.asarray(value, dtype=other.dtype)
    except OverflowError:
        raise OptionError(
            f"{op}: a number must fit into {other.dtype}, got an integer of {len(str(value))} digits"
        ) from None


def _summed_to(shape: tuple[int, ...]) -> Gradient:
    """Return the function that takes the gradient of a broadcast result to that of an operand of ``shape``."""
    k = twin("add")
    return lambda grad_out: k.add_grad_input(grad_out, input_shape=shape)


# ------------------------------------------------------------------------------------------- two operands


@quietly
def add(a: Operand, b: Operand) -> Tensor:
    """Add, element by element.

    Parameters
    ----------
    a, b : Tensor, array or number, shapes that broadcast
        Of one dtype; a number takes the other's.

    Returns
    -------
    Tensor, the shape that both broadcast to

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.
    DTypeError
        If one is float32 and the other float64, or they are not float.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.add(np.array([[1.0], [2.0]]), np.array([10.0, 20.0])).numpy()
    array([[11., 21.],
           [12., 22.]])
    """
    x, y = _operands("add", a, b)
    out = twin("add").add_forward(x.array, y.array)
    return record("add", out, (x, _summed_to(x.shape)), (y, _summed_to(y.shape)))


@quietly
def sub(a: Operand, b: Operand) -> Tensor:
    """Subtract ``b`` from ``a``, element by element; arguments and errors as for ``add``.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.sub(1.0, np.array([1.0, 4.0])).numpy()
    array([ 0., -3.])
    """
    x, y = _operands("sub", a, b)
    to_a, to_b = _summed_to(x.shape), _summed_to(y.shape)
    return record("sub", x.array - y.array, (x, to_a), (y, lambda grad_out: to_b(-grad_out)))


@quietly
def mul(a: Operand, b: Operand) -> Tensor:
    """Multiply, element by element; arguments and errors as for ``add``.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.mul(np.array([1.0, 4.0]), 2).numpy()
    array([2., 8.])
    """
    x, y = _operands("mul", a, b)
    k = twin("mul")
    a_values, b_values = x.array, y.array
    a_shape, b_shape = x.shape, y.shape
    return record(
        "mul",
        k.mul_forward(a_values, b_values),
        (x, lambda grad_out: k.mul_grad_input(grad_out, b_values, input_shape=a_shape)),
        (y, lambda grad_out: k.mul_grad_input(grad_out, a_values, input_shape=b_shape)),
    )


@quietly
def div(a: Operand, b: Operand) -> Tensor:
    """Divide ``a`` by ``b``, element by element; arguments and errors as for ``add``.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.div(np.array([1.0, 0.0, -1.0]), 0.0).numpy()
    array([ inf,  nan, -inf])
    """
    x, y = _operands("div", a, b)
    to_a, to_b = _summed_to(x.shape), _summed_to(y.shape)
    a_values, b_values = x.array, y.array
    return record(
        "div",
        a_values / b_values,
        (x, lambda grad_out: to_a(grad_out / b_values)),
        (y, lambda grad_out: to_b(-grad_out * a_values / b_values / b_values)),
    )


@quietly
def matmul(a: Input, b: Input) -> Tensor:
    """Multiply matrices.

    Parameters
    ----------
    a : Tensor or array, shape (..., N, K) or (K,)
    b : Tensor or array, shape (..., K, M) or (K,)
        The axes before the last two are a batch of matrices and broadcast.

    Returns
    -------
    Tensor, shape (..., N, M)
        Without N where ``a`` is a vector, without M where ``b`` is one.

    Raises
    ------
    ShapeError
        If the two K differ, the batches do not broadcast, or an operand has no axes.
    DTypeError
        If one is float32 and the other float64, or they are not float.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 10.0])).numpy()
    array([21., 43.])
    """
    op = "matmul"
    x, y = check.tensor(op, "a", a), check.tensor(op, "b", b)
    check.same_dtype(op, a=x, b=y)
    a_own, b_own = x.shape, y.shape
    if not a_own or not b_own:
        raise ShapeError(
            f"{op}: both operands must have at least 1 axis, got {a_own} and {b_own}; a number is multiplied by *"
        )
    a_shape = a_own if len(a_own) > 1 else (1, *a_own)
    b_shape = b_own if len(b_own) > 1 else (*b_own, 1)
    (n, depth), m = a_shape[-2:], b_shape[-1]
    if b_shape[-2] != depth:
        raise ShapeError(f"{op}: a.shape[-1] must equal b.shape[-2], got {a_own} and {b_own}")
    batch = _broadcast(a_shape[:-2], b_shape[:-2])
    if batch is None:
        raise ShapeError(f"{op}: the axes before the last two must broadcast, got {a_own} and {b_own}")
    shape = (*batch, *a_own[-2:-1], *b_own[-1:]) if len(b_own) > 1 else (*batch, *a_own[-2:-1])

    # One matrix on the right meets the rows of all matrices on the left at once; else matrix by matrix.
    a_full, b_full = (*batch, n, depth), (*batch, depth, m)
    count = math.prod(batch)
    if len(b_shape) == 2:
        b_full, n, count = b_shape, n * count, 1
    left, right = _stretch(x.array, a_full, (count, n, depth)), _stretch(y.array, b_full, (count, depth, m))
    k = twin(op)
    to_a, to_b = _summed_to(a_shape), _summed_to(b_shape)

    def grad_a(grad_out: Array) -> Array:
        product = _products(k, grad_out.reshape(count, n, m), right.swapaxes(1, 2))
        return to_a(product.reshape(a_full)).reshape(a_own)

    def grad_b(grad_out: Array) -> Array:
        product = _products(k, left.swapaxes(1, 2), grad_out.reshape(count, n, m))
        return to_b(product.reshape(b_full)).reshape(b_own)

    return record(op, _products(k, left, right).reshape(shape), (x, grad_a), (y, grad_b))


def _stretch(array: Array, full: tuple[int, ...], flat: tuple[int, ...]) -> Array:
    """Broadcast to ``full`` (a copy only if anything is repeated), then reshape."""
    if array.size != math.prod(full):
        array = np.broadcast_to(array, full).copy()
    return array.reshape(flat)


def _products(k: Any, left: Array, right: Array) -> Array:
    """Multiply matrix by matrix: (B, N, K) times (B, K, M)."""
    if len(left) == 1:
        product: Array = k.matmul_forward(left[0], right[0])
        return product
    out = np.empty((left.shape[0], left.shape[1], right.shape[2]), left.dtype)
    for i in range(len(out)):
        out[i] = k.matmul_forward(left[i], right[i])
    return out


# ------------------------------------------------------------------------------------------- one operand


@quietly
def pow(a: Input, exponent: float) -> Tensor:
    """Raise each element to a power that is a plain number.

    Parameters
    ----------
    a : Tensor or array, any shape
    exponent : float
        A negative element to a fraction is NaN.

    Returns
    -------
    Tensor, the shape of ``a``

    Raises
    ------
    OptionError
        If the exponent is not a finite number.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.pow(np.array([1.0, 2.0, 3.0]), 2).numpy()
    array([1., 4., 9.])
    """
    x = check.tensor("pow", "a", a)
    power = check.number("pow", "exponent", exponent)
    values = x.array
    power_of_slope = power - 1 if power else 0.0  # the slope of a**0 is 0, also at 0: not 0 * infinity
    return record("pow", values**power, (x, lambda grad_out: grad_out * (power * values**power_of_slope)))


@quietly
def neg(input: Input) -> Tensor:
    """Change the sign of each element.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.neg(np.array([1.0, -2.0])).numpy()
    array([-1.,  2.])
    """
    x = check.tensor("neg", "input", input)
    return record("neg", -x.array, (x, lambda grad_out: -grad_out))


@quietly
def exp(input: Input) -> Tensor:
    """Raise e to the power of each element.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.exp(np.array([0.0, -np.inf, 1000.0])).numpy()
    array([ 1.,  0., inf])
    """
    x = check.tensor("exp", "input", input)
    out = np.asarray(np.exp(x.array))
    return record("exp", out, (x, lambda grad_out: grad_out * out))


@quietly
def log(input: Input) -> Tensor:
    """Take the natural logarithm of each element: minus infinity of 0, NaN of a negative number.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.log(np.array([1.0, 0.0, -1.0])).numpy()
    array([  0., -inf,  nan])
    """
    x = check.tensor("log", "input", input)
    values = x.array
    return record("log", np.log(values), (x, lambda grad_out: grad_out / values))


@quietly
def sqrt(input: Input) -> Tensor:
    """Take the square root of each element; its slope at 0 is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.sqrt(np.array([4.0, 0.0, -1.0])).numpy()
    array([ 2.,  0., nan])
    """
    x = check.tensor("sqrt", "input", input)
    out = np.asarray(np.sqrt(x.array))
    return record("sqrt", out, (x, lambda grad_out: grad_out / (2 * out)))


def abs(input: Input) -> Tensor:
    """Take each element without its sign; at 0, where there is no slope, the gradient is 0.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.abs(np.array([1.0, -2.0])).numpy()
    array([1., 2.])
    """
    x = check.tensor("abs", "input", input)
    values = x.array
    return record("abs", np.absolute(values), (x, lambda grad_out: grad_out * np.sign(values)))


@quietly
def astype(input: Input, dtype: DTypeLike) -> Tensor:
    """Return the same numbers as float32 or float64; the gradient comes back in the input's own.

    Parameters
    ----------
    input : Tensor or array, any shape
    dtype : float32 or float64

    Raises
    ------
    DTypeError
        If ``dtype`` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.astype(np.array([0.1]), np.float32).dtype
    dtype('float32')
    """
    x = check.numbers("astype", "input", input)
    try:
        wanted = None if dtype is None else np.dtype(dtype).newbyteorder("=")  # None is float64 to NumPy
    except (TypeError, ValueError):
        wanted = None
    if wanted is None or wanted not in FLOATS:
        raise DTypeError(f"astype: dtype must be float32 or float64, got {wanted or repr(dtype)}")
    own = x.dtype
    return record("astype", x.array.astype(wanted), (x, lambda grad_out: grad_out.astype(own)))


# ------------------------------------------------------------------------------------------- over axes


def sum(input: Input, dim: Dims = None, *, keepdims: bool = False) -> Tensor:
    """Add up the elements along axes.

    Parameters
    ----------
    input : Tensor or array, any shape
    dim : int or tuple of int, optional
        The axes; all of them by default.
    keepdims : bool
        Whether the axes stay, with size 1.

    Returns
    -------
    Tensor
        float32 is added up in float64 and rounded once.

    Raises
    ------
    OptionError
        If an axis does not exist or is named twice.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.sum(np.array([[1.0, 2.0], [3.0, 4.0]]), 0).numpy()
    array([4., 6.])
    """
    return _reduce("sum", input, dim, keepdims, lambda count: 1)


def mean(input: Input, dim: Dims = None, *, keepdims: bool = False) -> Tensor:
    """Take the mean along axes; arguments and errors as for ``sum``. The mean of nothing is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.mean(np.array([[1.0, 2.0], [3.0, 4.0]]), 1, keepdims=True).numpy()
    array([[1.5],
           [3.5]])
    """
    return _reduce("mean", input, dim, keepdims, lambda count: count)


@quietly
def _reduce(op: str, input: Input, dim: Dims, keepdims: bool, divisor: Callable[[int], int]) -> Tensor:
    x = check.tensor(op, "input", input)
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = tuple(check.axis(op, "dim", d, x.ndim) for d in dims)
    if len(set(axes)) < len(axes):
        raise OptionError(f"{op}: dim must name each axis once, got {dim}")
    keepdims = check.flag(op, "keepdims", keepdims)
    shape = x.shape
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    parts = divisor(math.prod(shape[i] for i in axes))
    total = x.array.sum(axes, dtype=np.float64, keepdims=keepdims) / parts
    return record(
        op,
        total.astype(x.dtype),
        (x, lambda grad_out: np.broadcast_to((grad_out / parts).reshape(kept), shape).copy()),
    )


OPERATORS.update(
    add=add, sub=sub, mul=mul, div=div, matmul=matmul, pow=pow, neg=neg, exp=exp, log=log, sqrt=sqrt, abs=abs,
    astype=astype, sum=sum, mean=mean,
)  # fmt: skip
