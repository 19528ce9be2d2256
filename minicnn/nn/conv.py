"""Convolutions. Options and their meanings are those of the op; the weights start as init.py says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import random
from minicnn.autograd import Array, Tensor
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input, Pair
from minicnn.nn import init
from minicnn.nn.module import Module
from minicnn.nn.parameter import Parameter


class _Convolution(Module):
    """What the convolutions share: options, checked, and first weights."""

    def _set_options(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair,
        padding: Any,
        dilation: int | Pair,
        groups: int,
    ) -> None:
        op = type(self).__name__
        self.in_channels = check.integer(op, "in_channels", in_channels, 1)
        self.out_channels = check.integer(op, "out_channels", out_channels, 1)
        self.kernel_size = check.pair(op, "kernel_size", kernel_size)
        self.stride = check.pair(op, "stride", stride)
        self.dilation = check.pair(op, "dilation", dilation)
        self.groups = check.integer(op, "groups", groups, 1)
        check.padding(op, padding, (1, 1), self.kernel_size, self.stride, self.dilation)
        self.padding = padding  # "same" is resolved when the size of the image is known
        if in_channels % groups or out_channels % groups:
            raise OptionError(
                f"{op}: groups must divide in_channels and out_channels, got groups={groups}, "
                f"in_channels={in_channels}, out_channels={out_channels}"
            )

    def _set_weight(self, shape: tuple[int, ...], bias: bool, fan_in: Any = None) -> None:
        known = {} if fan_in is None else {"fan_in": fan_in}
        self.weight = Parameter.taking(init.first_weights(shape, random.generator("init"), **known))
        self.bias = (
            Parameter(np.zeros(self.out_channels, np.float32))
            if check.flag(type(self).__name__, "bias", bias)
            else None
        )


class Conv2d(_Convolution):
    """A convolution with its filters and biases: see ``minicnn.functional.conv2d``.

    Parameters
    ----------
    in_channels, out_channels : int
        C_in and C_out.
    kernel_size : int or (KH, KW)
    stride, padding, dilation, groups
        As in the op.
    bias : bool
        Whether to add a number per output channel.
    table : bool array, shape (C_out, C_in), optional
        Which output channel sees which input channel.
    activation : {"relu", "relu6"}, optional
        Applied to the result on the way, so that no array holds what it was before.

    Notes
    -----
    ``conv(x, residual)`` adds a residual connection before the activation, in the same pass.

    Attributes
    ----------
    weight : Parameter, shape (C_out, C_in // groups, KH, KW); with a table (number of connections, KH, KW)
    bias : Parameter, shape (C_out,), or None

    Raises
    ------
    OptionError, ShapeError, DTypeError
        If an argument is out of its range.

    Examples
    --------
    >>> from minicnn import nn
    >>> nn.Conv2d(1, 6, 5)
    Conv2d(1, 6, 5)  weight (6, 1, 5, 5)  bias (6,)  156
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: Any = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
        table: Any = None,
        activation: str | None = None,
    ) -> None:
        self._set_options(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.activation = check.activation("Conv2d", activation)
        self.table = None if table is None else self._connections(table)
        shape: tuple[int, ...] = (out_channels, in_channels // groups, *self.kernel_size)
        fan_in: Any = None
        if self.table is not None:
            unit = np.nonzero(self.table)[0]  # the output channel of each connection
            shape = (len(unit), *self.kernel_size)
            fan_in = (self.table.sum(axis=1)[unit] * math.prod(self.kernel_size)).reshape(-1, 1, 1)
        self._set_weight(shape, bias, fan_in)

    def _connections(self, table: Any) -> Array:
        """A read-only copy of the connection table: it is the layer's shape, not its state."""
        marks, expected = np.array(table), (self.out_channels, self.in_channels)
        if marks.dtype != np.bool_:
            raise DTypeError(f"Conv2d: table must be a bool array (C_out, C_in), got dtype {marks.dtype}")
        if marks.shape != expected:
            raise ShapeError(f"Conv2d: table must have shape (C_out, C_in) = {expected}, got {marks.shape}")
        if self.groups != 1:
            raise OptionError(f"Conv2d: groups must be 1 with a table, got {self.groups}")
        if not marks.any(axis=1).all():
            alone = np.nonzero(~marks.any(axis=1))[0].tolist()
            raise OptionError(f"Conv2d: each row of table must have a connection, got none in rows {alone}")
        marks.flags.writeable = False
        return marks

    def forward(self, input: Input, residual: Input | None = None) -> Tensor:
        return F.conv2d(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            table=self.table,
            residual=residual,
            activation=self.activation,
        )


class DepthwiseConv2d(_Convolution):
    """One filter per channel: see ``minicnn.functional.depthwise_conv2d``.

    Parameters
    ----------
    channels : int
        C, of the input and the output.
    kernel_size, stride, padding, dilation, bias
        As in ``Conv2d``.

    Attributes
    ----------
    weight : Parameter, shape (C, 1, KH, KW)
    bias : Parameter, shape (C,), or None

    Examples
    --------
    >>> from minicnn import nn
    >>> nn.DepthwiseConv2d(32, 3, padding=1, bias=False)
    DepthwiseConv2d(32, 3, padding=1, bias=False)  weight (32, 1, 3, 3)  288
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: Any = 0,
        dilation: int | Pair = 1,
        bias: bool = True,
    ) -> None:
        self.channels = channels
        self._set_options(channels, channels, kernel_size, stride, padding, dilation, channels)
        self._set_weight((channels, 1, *self.kernel_size), bias)

    def forward(self, input: Input) -> Tensor:
        return F.depthwise_conv2d(
            input, self.weight, self.bias, stride=self.stride, padding=self.padding, dilation=self.dilation
        )


class ConvTranspose2d(_Convolution):
    """The transpose of a convolution, which enlarges: see ``minicnn.functional.conv_transpose2d``.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, groups, bias, dilation
        As in ``Conv2d``.
    output_padding : int or pair
        Added to one side of the output, since several input sizes of a convolution give one output size.

    Attributes
    ----------
    weight : Parameter, shape (C_in, C_out // groups, KH, KW)
    bias : Parameter, shape (C_out,), or None

    Examples
    --------
    >>> from minicnn import nn
    >>> nn.ConvTranspose2d(8, 4, 2, stride=2)
    ConvTranspose2d(8, 4, 2, stride=2)  weight (8, 4, 2, 2)  bias (4,)  132
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: Any = 0,
        output_padding: int | Pair = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Pair = 1,
    ) -> None:
        self._set_options(in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        self.output_padding = check.pair("ConvTranspose2d", "output_padding", output_padding, 0)
        # One output unit is fed by in_channels / groups channels, each through about taps / stride of the filter.
        fan_in = in_channels // groups * math.prod(self.kernel_size) / math.prod(self.stride)
        self._set_weight((in_channels, out_channels // groups, *self.kernel_size), bias, fan_in)

    def forward(self, input: Input) -> Tensor:
        return F.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            groups=self.groups,
            dilation=self.dilation,
        )
