"""Modules that only arrange others, or the axes of what flows through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.errors import OptionError, OutOfRangeError, nearest
from minicnn.functional.check import Input
from minicnn.nn.module import Module


class Sequential(Module):
    """Modules one after the other.

    Parameters
    ----------
    *modules : Module, or one mapping of name to Module
        Without names the stages are called ``"0"``, ``"1"``, ...

    Examples
    --------
    >>> from minicnn import nn
    >>> net = nn.Sequential({"body": nn.Flatten(), "head": nn.Linear(4, 2)})
    >>> net["head"] is net.head is net[1]
    True
    >>> list(net.state_dict())
    ['head.weight', 'head.bias']
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            stages = dict(modules[0])
        else:
            stages = {str(i): module for i, module in enumerate(modules)}  # type: ignore[misc]
        for name, module in stages.items():
            self.add_module(name, module)

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    def __getitem__(self, stage: int | str | slice) -> Any:
        """Return a stage by place or name; a slice of places gives a Sequential that shares these modules."""
        stages = dict(self.named_children())
        if isinstance(stage, slice):
            return Sequential(dict(list(stages.items())[stage]))
        if isinstance(stage, str):
            if stage not in stages:
                known = ", ".join(stages) or "none"
                raise OptionError(f"Sequential: stage must be one of {known}, got {stage!r}{nearest(stage, stages)}")
            return stages[stage]
        try:
            return list(stages.values())[stage]
        except IndexError:
            last = len(stages) - 1
            raise OutOfRangeError(f"Sequential: stage must lie in 0 .. {last} (or be negative), got {stage}") from None

    def forward(self, input: Any) -> Any:
        for module in self.children():
            input = module(input)
        return input


class Identity(Module):
    """Return the input: a place where a later version may put something."""

    def forward(self, input: Any) -> Any:
        return input


class Flatten(Module):
    """Join the axes ``start_dim .. end_dim`` into one: (N, C, H, W) -> (N, C*H*W) by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Input) -> Tensor:
        return F.flatten(input, self.start_dim, self.end_dim)
