"""Layers that forget at random while training, and do nothing after ``eval()``.

Which elements they forget depends on ``minicnn.manual_seed`` and on how many random ops ran before.
"""

from __future__ import annotations

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.nn.module import Module


class Dropout(Module):
    """Set each element to zero with probability ``p``, and divide the others by ``1 - p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = check.number("Dropout", "p", p, 0.0, 1.0)

    def forward(self, input: Input) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout2d(Module):
    """Set each whole channel of each image to zero with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = check.number("Dropout2d", "p", p, 0.0, 1.0)

    def forward(self, input: Input) -> Tensor:
        return F.dropout2d(input, self.p, self.training)
