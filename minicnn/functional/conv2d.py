"""Convolution, plain, strided, dilated, grouped, or with LeNet-5's connection table."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Array, Tensor, record
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.activations import let_through
from minicnn.functional.check import Input, Pair, Shape
from minicnn.kernels import twin


def conv2d(
    input: Input,
    weight: Input,
    bias: Input | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: Any = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    table: Any = None,
    residual: Input | None = None,
    activation: str | None = None,
) -> Tensor:
    """Slide filters over images: each output pixel is the weighted sum of the window under it.

    What often follows, a residual connection and ReLU, can be done before an output is first written to memory.

    Parameters
    ----------
    input : Tensor or array, shape (N, C_in, H, W)
    weight : Tensor or array, shape (C_out, C_in // groups, KH, KW)
        With ``table``: (number of connections, KH, KW), in the row-major order of the table's True entries.
    bias : Tensor or array, shape (C_out,), optional
    stride : int or pair
        Step of the window, in pixels.
    padding : int, pair, ((top, bottom), (left, right)), "same" or "valid"
        Zeros around the image; ``"same"`` is TensorFlow's: H_out = ceil(H / stride), the odd pixel at the bottom
        and the right.
    dilation : int or pair
        Distance between the taps of the filter.
    groups : int
        Number of separate convolutions that the channels fall into (AlexNet: 2; depthwise: C_in).
    table : bool array, shape (C_out, C_in), optional
        Which output channel sees which input channel.
    residual : Tensor or array, the output's shape, optional
        Added to the output (ResNet's shortcut, where batch norm is part of the filters).
    activation : {"relu", "relu6"}, optional
        Applied last.

    Returns
    -------
    Tensor, shape (N, C_out, H_out, W_out)
        H_out = floor((top + H + bottom - (KH - 1) * dilation - 1) / stride) + 1.

    Raises
    ------
    ShapeError
        If shapes do not fit each other, or the filter is larger than the padded image.
    DTypeError
        If the arrays are not all float32 or all float64.
    OptionError
        If an option is out of its range or unknown, or the groups do not divide the channels.

    Notes
    -----
    The filter is not flipped (cross-correlation). Connection table: LeCun et al. 1998, section II.B, table I.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> F.conv2d(image, np.array([[[[1.0, 0.0], [0.0, -1.0]]]])).numpy()
    array([[[[-4., -4.],
             [-4., -4.]]]])
    >>> F.conv2d(image, np.ones((1, 1, 2, 2)), np.array([-10.0]), activation="relu").numpy()
    array([[[[ 0.,  2.],
             [10., 14.]]]])
    """
    op = "conv2d"
    x, w = check.images(op, input), check.tensor(op, "weight", weight)
    b = None if bias is None else check.tensor(op, "bias", bias)
    shortcut = None if residual is None else check.images(op, residual, "residual")
    check.same_dtype(op, input=x, weight=w, bias=b, residual=shortcut)
    activation = check.activation(op, activation)
    xa, wa = x.array, w.array
    x_shape, w_shape = xa.shape, wa.shape
    if table is not None:
        table = _connections(op, table, x_shape, w_shape, groups)

    def geometry() -> tuple[int, Pair, dict[str, Any]]:
        by = check.integer(op, "groups", groups, 1)
        c_out = _channels_out(op, x_shape, w_shape, by) if table is None else len(table)
        steps, pads, holes, out_hw = check.window(op, x, w_shape[-2:], stride, padding, dilation)
        check.fits_memory(op, (x_shape[0], c_out, *out_hw), xa.dtype)
        return c_out, out_hw, {"stride": steps, "padding": pads, "dilation": holes, "groups": by}

    rows = None if table is None else len(table)
    question = (op, x_shape, w_shape, xa.dtype, rows, repr((stride, padding, dilation, groups)))
    c_out, out_hw, options = check.known(question, geometry)
    if b is not None:
        check.shape(op, "bias", b, (c_out,), "(C_out,)")
    if shortcut is not None:
        check.shape(op, "residual", shortcut, (x_shape[0], c_out, *out_hw), "(N, C_out, H_out, W_out)")

    k = twin(op)
    options = {**options, "table": table}
    shift, added = None if b is None else b.array, None if shortcut is None else shortcut.array
    out = k.conv2d_forward(xa, wa, shift, out_hw=out_hw, residual=added, activation=activation, **options)
    through = let_through(activation, out)
    pairs = [
        (x, lambda grad_out: k.conv2d_grad_input(through(grad_out), wa, input_shape=x_shape, **options)),
        (w, lambda grad_out: k.conv2d_grad_weight(through(grad_out), xa, weight_shape=w_shape, **options)),
    ]
    if b is not None:
        pairs.append((b, lambda grad_out: k.conv2d_grad_bias(through(grad_out))))
    if shortcut is not None:
        pairs.append((shortcut, through))
    return record(op, out, *pairs)


def _channels_out(op: str, x: Shape, w: Shape, groups: int) -> int:
    if len(w) != 4 or 0 in w:
        raise ShapeError(f"{op}: weight must be (C_out, C_in // groups, KH, KW), all >= 1, got shape {w}")
    c_in, c_out = x[1], w[0]
    if c_in != w[1] * groups:
        hint = "; is the input NHWC? Use x.transpose(0, 3, 1, 2)" if x[3] == w[1] * groups else ""
        raise ShapeError(
            f"{op}: C_in must equal weight.shape[1] * groups, got input {x}, weight {w}, groups={groups}{hint}"
        )
    if c_out % groups:
        raise OptionError(f"{op}: groups must divide C_out, got groups={groups}, C_out={c_out}")
    return c_out


def _connections(op: str, table: Any, x: Shape, w: Shape, groups: Any) -> Array:
    try:
        marks = np.asarray(table)
    except ValueError as error:
        raise ShapeError(f"{op}: table must be rectangular, (C_out, C_in), got {error}") from None
    if marks.dtype != np.bool_:
        raise DTypeError(f"{op}: table must be a bool array (C_out, C_in), got dtype {marks.dtype}")
    if marks.ndim != 2 or marks.shape[1] != x[1] or marks.shape[0] < 1:
        raise ShapeError(f"{op}: table must have shape (C_out, C_in = {x[1]}), got {marks.shape}")
    if check.integer(op, "groups", groups, 1) != 1:
        raise OptionError(f"{op}: groups must be 1 with a table, got {groups}")
    connections = np.count_nonzero(marks)
    if len(w) != 3 or w[0] != connections or 0 in w:
        raise ShapeError(f"{op}: weight must be (connections = {connections}, KH, KW) with this table, got shape {w}")
    return marks
