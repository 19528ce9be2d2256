"""Blocks that several networks are built of: a normalised convolution, a fork whose arms are joined, a border."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.errors import OptionError
from minicnn.functional.check import Input, Pair
from minicnn.nn.container import Sequential
from minicnn.nn.conv import Conv2d, DepthwiseConv2d
from minicnn.nn.module import Module
from minicnn.nn.normalization import BatchNorm2d


class ConvNorm(Module):
    """A convolution, batch norm if there is one, and an activation.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, groups
        As in ``Conv2d``. With as many groups as channels in and out it is a ``DepthwiseConv2d``.
    norm : mapping, optional
        Options of the ``BatchNorm2d``; None for networks from before it.
    bias : bool, optional
        By default the convolution has one if no norm follows, which would take it away again.
    activation : {"relu", "relu6"}, optional

    Notes
    -----
    ``block(x, residual)`` adds a residual connection before the activation. Neither costs a pass through memory.

    Examples
    --------
    >>> from minicnn import nn
    >>> print(*nn.ConvNorm(3, 8, 3, norm={"eps": 1e-3}).state_dict())
    conv.weight norm.weight norm.bias norm.running_mean norm.running_var
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        *,
        stride: int | Pair = 1,
        padding: Any = 0,
        groups: int = 1,
        norm: Mapping[str, Any] | None = None,
        bias: bool | None = None,
        activation: str | None = "relu",
    ) -> None:
        biased = norm is None if bias is None else bias
        if groups > 1 and groups == in_channels == out_channels:
            if norm is None:
                raise OptionError("ConvNorm: norm must be given for a depthwise convolution, got None")
            self.conv: Conv2d | DepthwiseConv2d = DepthwiseConv2d(
                in_channels, kernel_size, stride=stride, padding=padding, bias=biased
            )
        else:
            self.conv = Conv2d(
                in_channels, out_channels, kernel_size, stride=stride, padding=padding, groups=groups, bias=biased,
                activation=activation if norm is None else None,
            )  # fmt: skip
        self.norm = None if norm is None else BatchNorm2d(out_channels, **norm, activation=activation)

    def forward(self, input: Input, *residual: Input) -> Tensor:
        out: Tensor = self.conv(input, *residual) if self.norm is None else self.norm(self.conv(input), *residual)
        return out


class Branches(Sequential):
    """Modules that all see the same input; their outputs stand one after the other along the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import nn
    >>> fork = nn.Branches({"1x1": nn.Conv2d(8, 4, 1), "3x3": nn.Conv2d(8, 2, 3, padding=1)})
    >>> fork(np.zeros((1, 8, 5, 5), np.float32)).shape
    (1, 6, 5, 5)
    """

    def forward(self, input: Input) -> Tensor:
        return F.concat([branch(input) for branch in self.children()], 1)


class Pad(Module):
    """A border of zeros, ``(left, right, top, bottom)`` pixels wide, which a max pool after it sees: see ``pad``."""

    def __init__(self, *sides: int) -> None:
        self.sides = sides

    def forward(self, input: Input) -> Tensor:
        return F.pad(input, self.sides)
