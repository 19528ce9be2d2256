"""Maximum over a sliding window."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Tensor, needs_grad, record
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def max_pool2d(
    input: Input,
    kernel_size: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] | None = None,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Take the maximum of each window.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    kernel_size : int or (KH, KW)
    stride : int or pair, optional
        Step between windows; ``kernel_size`` by default, which tiles the image.
    padding : int, pair, ((top, bottom), (left, right)), "same" or "valid"
        Pixels of minus infinity around the image, at most half a window.
    dilation : int or pair
        Distance between the taps of a window.
    ceil_mode : bool
        Whether a last window may hang over the edge (Caffe's rule) or is dropped.

    Returns
    -------
    Tensor, shape (N, C, H_out, W_out)
        The gradient goes to the maximum, of equal ones to the first in scan order.

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W), or the window does not fit into it.
    OptionError
        If an option is not a positive integer or the padding exceeds half a window.

    Notes
    -----
    Overlapping pools (window 3, stride 2) are AlexNet's: Krizhevsky et al. 2012, section 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.max_pool2d(np.float32([[[[1, 5, 2, 0], [3, 4, 8, 1]]]]), 2).numpy()
    array([[[[5., 8.]]]], dtype=float32)
    """
    op = "max_pool2d"
    x = check.images(op, input)
    kernel, steps, pads, holes, out_hw = check.pool(op, x, kernel_size, stride, padding, dilation, ceil_mode)

    k = twin(op)
    window = {"kernel": kernel, "stride": steps, "padding": pads, "dilation": holes}
    out, index = k.max_pool2d_forward(x.array, out_hw=out_hw, keep_index=needs_grad(x), **window)
    shape = x.shape
    return record(op, out, (x, lambda grad_out: k.max_pool2d_grad_input(grad_out, index, input_shape=shape)))
