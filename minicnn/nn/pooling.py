"""Layers that make images smaller."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional import check
from minicnn.functional.check import Input, Pair
from minicnn.nn.module import Module
from minicnn.nn.parameter import Parameter


class _Pool(Module):
    """What pools share: a window, checked."""

    def _set_window(
        self, kernel_size: int | Pair, stride: int | Pair | None, padding: Any, dilation: int | Pair, ceil_mode: bool
    ) -> None:
        op = type(self).__name__
        self.kernel_size = check.pair(op, "kernel_size", kernel_size)
        self.stride = None if stride is None else check.pair(op, "stride", stride)
        self.dilation = check.pair(op, "dilation", dilation)
        self.ceil_mode = check.flag(type(self).__name__, "ceil_mode", ceil_mode)
        pads = check.padding(op, padding, (1, 1), self.kernel_size, self.stride or self.kernel_size, self.dilation)
        check.half_window(op, pads, self.kernel_size, self.dilation)
        self.padding = padding  # "same" is resolved when the size of the image is known


class MaxPool2d(_Pool):
    """Maximum of each window: see ``minicnn.functional.max_pool2d``.

    Examples
    --------
    >>> from minicnn import nn
    >>> nn.MaxPool2d(3, stride=2)
    MaxPool2d(3, stride=2)
    """

    def __init__(
        self,
        kernel_size: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: Any = 0,
        dilation: int | Pair = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._set_window(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, input: Input) -> Tensor:
        return F.max_pool2d(
            input,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
        )


class AvgPool2d(_Pool):
    """Mean of each window: see ``minicnn.functional.avg_pool2d``."""

    def __init__(
        self,
        kernel_size: int | Pair,
        *,
        stride: int | Pair | None = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_window(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = check.flag("AvgPool2d", "count_include_pad", count_include_pad)

    def forward(self, input: Input) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class GlobalMaxPool2d(Module):
    """Maximum of each whole map: (N, C, H, W) -> (N, C, 1, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import nn
    >>> nn.GlobalMaxPool2d()(np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)).numpy().ravel()
    array([ 5., 11.], dtype=float32)
    """

    def forward(self, input: Input) -> Tensor:
        x = check.images("GlobalMaxPool2d", input)
        return F.max_pool2d(x, (x.shape[2], x.shape[3]))


class AdaptiveAvgPool2d(Module):
    """Mean over windows that divide any image into ``output_size``; 1 is the mean of the whole image."""

    def __init__(self, output_size: int | Pair) -> None:
        self.output_size = check.pair("AdaptiveAvgPool2d", "output_size", output_size)

    def forward(self, input: Input) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class Subsample2d(Module):
    """LeNet-5's trainable subsampling: per channel, weight times the sum of each 2x2 block, plus bias.

    Parameters
    ----------
    channels : int
        C, of the input and the output.

    Attributes
    ----------
    weight : Parameter, shape (C,)
        Starts at 1/4, so that the layer starts as the mean.
    bias : Parameter, shape (C,)

    Notes
    -----
    LeCun et al. 1998, section II.B, layers S2 and S4.
    """

    def __init__(self, channels: int) -> None:
        self.channels = check.integer("Subsample2d", "channels", channels, 1)
        self.weight = Parameter(np.full(channels, 0.25, np.float32))
        self.bias = Parameter(np.zeros(channels, np.float32))

    def forward(self, input: Input) -> Tensor:
        return F.subsample2d(input, self.weight, self.bias)
