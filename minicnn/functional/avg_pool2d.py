"""Mean over a sliding window."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Tensor, record
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def avg_pool2d(
    input: Input,
    kernel_size: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] | None = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Take the mean of each window.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    kernel_size : int or (KH, KW)
    stride : int or pair, optional
        Step between windows; ``kernel_size`` by default, which tiles the image.
    padding : int, pair, ((top, bottom), (left, right)), "same" or "valid"
        Zeros around the image, at most half a window.
    ceil_mode : bool
        Whether a last window may hang over the edge (Caffe's rule) or is dropped. What hangs over the
        padding never counts in the mean.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean (PyTorch's default) or the sum is divided by the number
        of real pixels (TensorFlow and Keras).

    Returns
    -------
    Tensor, shape (N, C, H_out, W_out)

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W), or the window does not fit into it.
    OptionError
        If an option is not a positive integer or the padding exceeds half a window.

    Notes
    -----
    The pools of GoogLeNet's auxiliary heads are 5/3: Szegedy et al. 2015, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.avg_pool2d(np.float32([[[[1, 5, 2, 0], [3, 3, 8, 2]]]]), 2).numpy()
    array([[[[3., 3.]]]], dtype=float32)
    """
    op = "avg_pool2d"
    x = check.images(op, input)
    counts_pad = check.flag(op, "count_include_pad", count_include_pad)
    kernel, steps, pads, _, out_hw = check.pool(op, x, kernel_size, stride, padding, 1, ceil_mode)

    k, shape = twin(op), x.shape
    window = {"kernel": kernel, "stride": steps, "padding": pads, "count_include_pad": counts_pad}
    out = k.avg_pool2d_forward(x.array, out_hw=out_hw, **window)
    return record(op, out, (x, lambda grad_out: k.avg_pool2d_grad_input(grad_out, input_shape=shape, **window)))
