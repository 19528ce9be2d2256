"""Layers on vectors: fully connected, and LeNet-5's distances to fixed codes."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn.functional as F
from minicnn import random
from minicnn.autograd import Tensor
from minicnn.errors import ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.nn import init
from minicnn.nn.module import Module
from minicnn.nn.parameter import Buffer, Parameter


class Linear(Module):
    """Every output sees every input: ``input @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of the input and the output.
    bias : bool
        Whether to add a number per output.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Examples
    --------
    >>> from minicnn import nn
    >>> nn.Linear(120, 84)
    Linear(120, 84)  weight (84, 120)  bias (84,)  10,164
    """

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        self.in_features = check.integer("Linear", "in_features", in_features, 1)
        self.out_features = check.integer("Linear", "out_features", out_features, 1)
        self.weight = Parameter.taking(init.first_weights((out_features, in_features), random.generator("init")))
        self.bias = Parameter(np.zeros(out_features, np.float32)) if check.flag("Linear", "bias", bias) else None

    def forward(self, input: Input) -> Tensor:
        return F.linear(input, self.weight, self.bias)


class RBF(Module):
    """Squared distance to each of some fixed codes: LeNet-5's output (1998, eq. 7).

    Parameters
    ----------
    codes : array, shape (n_classes, n_features)
        Kept as a buffer: saved with the network, not trained.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import nn
    >>> nn.RBF(np.float32([[1, -1], [1, 1]]))(np.float32([[1, 1]])).numpy()
    array([[4., 0.]], dtype=float32)
    """

    def __init__(self, codes: Any) -> None:
        self.codes = Buffer(codes)
        if self.codes.ndim != 2 or 0 in self.codes.shape:
            raise ShapeError(f"RBF: codes must have shape (n_classes, n_features), got {self.codes.shape}")

    def forward(self, input: Input) -> Tensor:
        return F.rbf(input, self.codes)
