"""Functions of each element, and softmax over an axis."""

from __future__ import annotations

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional.check import Input
from minicnn.nn.module import Module


class ReLU(Module):
    """max(0, x)."""

    def forward(self, input: Input) -> Tensor:
        return F.relu(input)


class ReLU6(Module):
    """min(max(0, x), 6), MobileNet's."""

    def forward(self, input: Input) -> Tensor:
        return F.relu6(input)


class Tanh(Module):
    """tanh(x)."""

    def forward(self, input: Input) -> Tensor:
        return F.tanh(input)


class ScaledTanh(Module):
    """1.7159 tanh(2x/3), which maps ±1 to ±1: LeNet-5's squashing function (1998, appendix A)."""

    def forward(self, input: Input) -> Tensor:
        return F.scaled_tanh(input)


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Input) -> Tensor:
        return F.sigmoid(input)


class Softmax(Module):
    """exp(x) over its sum along ``dim``: from logits to probabilities."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Input) -> Tensor:
        return F.softmax(input, self.dim)


class LogSoftmax(Module):
    """The logarithm of softmax along ``dim``, without overflow."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, input: Input) -> Tensor:
        return F.log_softmax(input, self.dim)
