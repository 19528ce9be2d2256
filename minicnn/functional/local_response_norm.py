"""Division by the squares in neighbouring channels."""

from __future__ import annotations

import numpy as np

from minicnn.autograd import Tensor, record
from minicnn.errors import OptionError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def local_response_norm(
    input: Input, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, form: str = "mean"
) -> Tensor:
    """Divide each value by ``(k + a * S) ** beta``, S being the sum of squares over neighbouring channels.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    size : int
        Channels in the window, centred on the value's own (of an even number, one more before it than after).
        At the first and last channels it is cut off; ``alpha / size`` stays as it is.
    alpha, beta, k : float
    form : {"mean", "sum"}
        ``a`` is ``alpha / size`` (Caffe, PyTorch) or ``alpha`` (the paper, TensorFlow, Chainer).

    Returns
    -------
    Tensor, shape (N, C, H, W)

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W).
    OptionError
        If ``size`` is not a positive integer, ``alpha`` or ``beta`` is negative, ``k`` is not positive (where all is 0,
        so would be the divisor), or the form is unknown.

    Notes
    -----
    Krizhevsky et al. 2012, section 3.3: ``form="sum"``, size 5, k 2, alpha 1e-4, beta 0.75.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> x = np.array([[[[1.0]], [[2.0]], [[2.0]]]])
    >>> F.local_response_norm(x, 3, alpha=1, beta=1, k=1, form="sum").numpy().ravel()
    array([0.16666667, 0.2       , 0.22222222])
    """
    op = "local_response_norm"
    x = check.images(op, input)
    channels = check.integer(op, "size", size, 1)
    most = float(np.finfo(x.dtype).max)
    strength, exponent, offset = (
        check.number(op, name, value, 0, most) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    if offset == 0:
        raise OptionError(f"{op}: k must be > 0, got {k!r}")
    if check.choice(op, "form", form, ("mean", "sum")) == "mean":
        strength /= channels

    kernels, a = twin(op), x.array
    window = {"size": channels, "alpha": strength, "beta": exponent, "k": offset}
    out = kernels.local_response_norm_forward(a, **window)
    return record(op, out, (x, lambda grad_out: kernels.local_response_norm_grad_input(grad_out, a, **window)))
