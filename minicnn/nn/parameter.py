"""The two kinds of tensor that a module owns: a Parameter is trained, a Buffer is only kept."""

from __future__ import annotations

from typing import Self

from numpy.typing import ArrayLike, DTypeLike

from minicnn.autograd import Array, Tensor


class _Owned(Tensor):
    __slots__ = ()

    def convert(self, dtype: DTypeLike) -> None:
        """Take another dtype in place, so that whoever holds this tensor sees it; the gradient is forgotten."""
        converted = Tensor(self.array.astype(dtype))
        self._set(converted.array, self.requires_grad, converted._block)


class Parameter(_Owned):
    """A tensor that training changes: it has a gradient, and ``module.parameters()`` finds it.

    Parameters
    ----------
    array : array_like
        Its first value, copied; float32 or float64.
    requires_grad : bool
        False freezes it: no gradient is computed, and optimisers pass it over.

    Examples
    --------
    >>> Parameter([1.0, 2.0])
    Tensor([1., 2.], dtype=float32, requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, array: ArrayLike, requires_grad: bool = True) -> None:
        super().__init__(array, requires_grad)

    @classmethod
    def taking(cls, array: Array) -> Self:
        """Make one of an array that nobody else has, C-contiguous and native, without a copy."""
        parameter = cls.__new__(cls)
        parameter._set(array, True, Tensor.wrap(array)._block)
        return parameter


class Buffer(_Owned):
    """A tensor that is saved with the module and not trained: running statistics, LeNet's codes.

    Examples
    --------
    >>> Buffer([0.0, 0.0]).requires_grad
    False
    """

    __slots__ = ()
