"""Softmax and its logarithm. Each gradient is computed from the output, so the input is not kept."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def softmax(input: Input, dim: int = -1) -> Tensor:
    """Turn scores into probabilities: ``exp(input) / sum(exp(input))`` along ``dim``.

    Parameters
    ----------
    input : Tensor or array, any shape with at least one axis
    dim : int
        The axis along which the result sums to 1.

    Returns
    -------
    Tensor, the input's shape
        Scores of 10000 do no harm: the maximum is subtracted first.

    Raises
    ------
    OptionError
        If the input has no such axis.
    DTypeError
        If the input is not float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.softmax(np.log([[1.0, 2.0, 1.0]])).numpy()
    array([[0.25, 0.5 , 0.25]])
    """
    return _softmax("softmax", input, dim)


def log_softmax(input: Input, dim: int = -1) -> Tensor:
    """Logarithm of ``softmax``, also where the probability itself is too small for a float.

    Parameters
    ----------
    input : Tensor or array, any shape with at least one axis
    dim : int
        The axis along which the probabilities sum to 1.

    Returns
    -------
    Tensor, the input's shape

    Raises
    ------
    OptionError
        If the input has no such axis.
    DTypeError
        If the input is not float32 or float64.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.log_softmax(np.array([10000.0, 0.0])).numpy()
    array([     0., -10000.])
    """
    return _softmax("log_softmax", input, dim)


def _softmax(op: str, input: Input, dim: int) -> Tensor:
    x = check.tensor(op, "input", input)
    axis = check.axis(op, "dim", dim, x.ndim)
    k = twin("softmax")
    out = getattr(k, f"{op}_forward")(x.array, dim=axis)
    return record(op, out, (x, lambda grad_out: getattr(k, f"{op}_grad_input")(grad_out, out, dim=axis)))
