"""Transposed convolution: the gradient of a convolution, used forwards to enlarge images."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import geometry, twin


def conv_transpose2d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    groups: int = 1,
    dilation: int | tuple[int, int] = 1,
) -> Tensor:
    """Stamp a weighted copy of the filter onto the output for every input pixel.

    Parameters
    ----------
    input : Tensor or array, shape (N, C_in, H, W)
    weight : Tensor or array, shape (C_in, C_out // groups, KH, KW)
    bias : Tensor or array, shape (C_out,), optional
    stride : int or pair
        Distance between the stamps, in output pixels.
    padding : int or pair
        Pixels cut off on every side of the output: the padding of the convolution that this one reverses.
    output_padding : int or pair
        Pixels added to the bottom and right, less than stride or dilation: several input sizes of a strided
        convolution give one output size, and this says which one to go back to.
    groups : int
        Number of separate transposed convolutions that the channels fall into.
    dilation : int or pair
        Distance between the taps of the filter.

    Returns
    -------
    Tensor, shape (N, C_out, H_out, W_out)
        H_out = (H - 1) * stride - 2 * padding + (KH - 1) * dilation + 1 + output_padding.

    Raises
    ------
    ShapeError
        If shapes do not fit each other, or nothing is left after cutting off the padding.
    DTypeError
        If the arrays are not all float32 or all float64.
    OptionError
        If an option is out of its range, or the groups do not divide the channels.

    Notes
    -----
    Dumoulin and Visin 2016, "A guide to convolution arithmetic for deep learning", chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.conv_transpose2d(np.array([[[[1.0, 10.0]]]]), np.array([[[[1.0, 2.0]]]]), stride=2).numpy()
    array([[[[ 1.,  2., 10., 20.]]]])
    """
    op = "conv_transpose2d"
    x, w = check.images(op, input), check.tensor(op, "weight", weight)
    b = None if bias is None else check.tensor(op, "bias", bias)
    check.same_dtype(op, input=x, weight=w, bias=b)
    groups = check.integer(op, "groups", groups, 1)
    if w.ndim != 4 or 0 in w.shape or w.shape[0] != x.shape[1]:
        raise ShapeError(
            f"{op}: weight must be (C_in, C_out // groups, KH, KW), all >= 1, got input {x.shape}, weight {w.shape}"
        )
    if x.shape[1] % groups:
        raise OptionError(f"{op}: groups must divide C_in, got groups={groups}, C_in={x.shape[1]}")
    c_out = w.shape[1] * groups
    if b is not None:
        check.shape(op, "bias", b, (c_out,), "(C_out,)")
    steps, holes = check.pair(op, "stride", stride), check.pair(op, "dilation", dilation)
    cut, extra = check.pair(op, "padding", padding, 0), check.pair(op, "output_padding", output_padding, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, steps, holes, strict=True)):
        raise OptionError(f"{op}: output_padding must be less than stride or dilation, got {extra}, {steps}, {holes}")
    out_hw = tuple(
        (size - 1) * s - 2 * p + geometry.span(kernel, d) + e
        for size, s, p, kernel, d, e in zip(x.shape[2:], steps, cut, w.shape[2:], holes, extra, strict=True)
    )
    if min(out_hw) < 1:
        raise ShapeError(f"{op}: H_out and W_out must be >= 1, got {out_hw} from input {x.shape}, padding {cut}")
    check.fits_memory(op, (x.shape[0], c_out, *out_hw), x.dtype)

    k = twin(op)
    xa, wa, x_shape, w_shape = x.array, w.array, x.shape, w.shape
    pads = ((cut[0], cut[0]), (cut[1], cut[1]))
    options = {"stride": steps, "padding": pads, "dilation": holes, "groups": groups}
    out = k.conv_transpose2d_forward(xa, wa, None if b is None else b.array, out_hw=out_hw, **options)
    pairs = [
        (x, lambda grad_out: k.conv_transpose2d_grad_input(grad_out, wa, input_shape=x_shape, **options)),
        (w, lambda grad_out: k.conv_transpose2d_grad_weight(grad_out, xa, weight_shape=w_shape, **options)),
    ]
    if b is not None:
        pairs.append((b, lambda grad_out: k.conv_transpose2d_grad_bias(grad_out)))
    return record(op, out, *pairs)
