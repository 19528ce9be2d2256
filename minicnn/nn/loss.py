"""Losses: modules that take outputs and targets, and return one number to be made smaller."""

from __future__ import annotations

from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.nn.module import Module
from minicnn.nn.parameter import Buffer

REDUCTIONS = ("none", "mean", "sum")


class CrossEntropyLoss(Module):
    """Minus the logarithm of the target's probability: see ``minicnn.functional.cross_entropy``."""

    def __init__(
        self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        op = "CrossEntropyLoss"
        self.weight = None if weight is None else Buffer(weight)
        self.ignore_index = check.integer(op, "ignore_index", ignore_index, -(2**31))
        self.reduction = check.choice(op, "reduction", reduction, REDUCTIONS)
        self.label_smoothing = check.number(op, "label_smoothing", label_smoothing, 0.0, 1.0)

    def forward(self, input: Input, target: Any) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class MSELoss(Module):
    """Mean of the squared differences."""

    def __init__(self, *, reduction: str = "mean") -> None:
        self.reduction = check.choice("MSELoss", "reduction", reduction, REDUCTIONS)

    def forward(self, input: Input, target: Any) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)
