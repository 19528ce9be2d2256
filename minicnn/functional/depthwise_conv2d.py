"""Depthwise convolution: filters that each see one channel."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Tensor, record
from minicnn.errors import ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def depthwise_conv2d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """Convolve every channel with filters of its own: ``conv2d`` with ``groups=C_in``.

    Parameters
    ----------
    input : Tensor or array, shape (N, C_in, H, W)
    weight : Tensor or array, shape (C_in * m, 1, KH, KW)
        Output channel ``ic * m + j`` comes from input channel ``ic``; m is the channel multiplier.
    bias : Tensor or array, shape (C_in * m,), optional
    stride, padding, dilation
        As in ``conv2d``.

    Returns
    -------
    Tensor, shape (N, C_in * m, H_out, W_out)

    Raises
    ------
    ShapeError
        If shapes do not fit each other, or the filter is larger than the padded image.
    DTypeError
        If the arrays are not all float32 or all float64.
    OptionError
        If an option is out of its range.

    Notes
    -----
    The first half of a depthwise-separable convolution: Howard et al. 2017 (MobileNet), section 3.1; Chollet 2017
    (Xception), section 1.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> image = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> F.depthwise_conv2d(image, np.array([[[[1.0, 1.0]]], [[[0.0, 1.0]]]])).numpy()
    array([[[[1.],
             [5.]],
    <BLANKLINE>
            [[5.],
             [7.]]]])
    """
    op = "depthwise_conv2d"
    x, w = check.images(op, input), check.tensor(op, "weight", weight)
    b = None if bias is None else check.tensor(op, "bias", bias)
    check.same_dtype(op, input=x, weight=w, bias=b)
    if w.ndim != 4 or w.shape[1] != 1 or 0 in w.shape or w.shape[0] % x.shape[1]:
        raise ShapeError(
            f"{op}: weight must be (C_in * m, 1, KH, KW) with C_in = {x.shape[1]}, got input {x.shape}, "
            f"weight {w.shape}"
        )
    if b is not None:
        check.shape(op, "bias", b, (w.shape[0],), "(C_in * m,)")
    steps, pads, holes, out_hw = check.window(op, x, (w.shape[-2], w.shape[-1]), stride, padding, dilation)
    check.fits_memory(op, (x.shape[0], w.shape[0], *out_hw), x.dtype)

    k = twin(op)
    xa, wa, x_shape, w_shape = x.array, w.array, x.shape, w.shape
    options = {"stride": steps, "padding": pads, "dilation": holes}
    out = k.depthwise_conv2d_forward(xa, wa, None if b is None else b.array, out_hw=out_hw, **options)
    pairs = [
        (x, lambda grad_out: k.depthwise_conv2d_grad_input(grad_out, wa, input_shape=x_shape, **options)),
        (w, lambda grad_out: k.depthwise_conv2d_grad_weight(grad_out, xa, weight_shape=w_shape, **options)),
    ]
    if b is not None:
        pairs.append((b, lambda grad_out: k.depthwise_conv2d_grad_bias(grad_out)))
    return record(op, out, *pairs)
