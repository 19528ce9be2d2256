"""What a network consists of: each layer's output, parameters and work, counted while one image passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.autograd import Tensor, no_grad
from minicnn.errors import OptionError
from minicnn.functional import check


@dataclass(frozen=True)
class Row:
    """A module: its dotted name, the call that makes it (none: a Sequential), what comes out, and what it costs.

    ``multiply_adds`` are products of an input with a weight, for one image; taking a maximum or a mean multiplies
    nothing.
    """

    path: str
    call: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The rows of ``summary``, in the order in which the modules finish; ``str()`` makes a table of them."""

    rows: tuple[Row, ...]
    depth: int | None

    def __getitem__(self, path: str) -> Row:
        """Return the row of a module by its dotted name; ``""`` is the network."""
        return next(row for row in self.rows if row.path == path)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __str__(self) -> str:
        shown = [row for row in self.rows if self.depth is None or len(row.path.split(".")) <= self.depth]
        cells = [("stage", "layer", "output", "parameters", "multiply-adds")]
        for row in shown:
            name = row.path or "all"
            output = " x ".join(map(str, row.output[1:]))
            cells.append((name, row.call, output, f"{row.parameters:,}", f"{row.multiply_adds:,}"))
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        return "\n".join(
            "  ".join(
                text.ljust(w) if i < 3 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        )


def summary(model: nn.Module, images: Any = None, *, depth: int | None = 1) -> Summary:
    """Pass an image through a network and note what each module makes of it.

    Parameters
    ----------
    model : Module
    images : array, shape (1, C, H, W), optional
        By default zeros of the network's own size.
    depth : int, optional
        How deep ``str()`` goes: 1 shows the stages, None every layer. The rows are there anyway.

    Returns
    -------
    Summary

    Raises
    ------
    OptionError
        If no images are given and the network does not know its size.

    Examples
    --------
    >>> from minicnn import models
    >>> from minicnn.inspect import summary
    >>> print(summary(models.create("lenet5")))
    stage   layer           output        parameters  multiply-adds
    C1                      6 x 28 x 28          156        117,600
    S2      MaxPool2d(2)    6 x 14 x 14            0              0
    C3                      16 x 10 x 10       2,416        240,000
    S4      MaxPool2d(2)    16 x 5 x 5             0              0
    C5                      120 x 1 x 1       48,120         48,000
    F6                      84                10,164         10,080
    output  Linear(84, 10)  10                   850            840
    all                     10                61,706        416,520
    """
    if images is None:
        size = getattr(model, "size", None)
        if size is None:
            raise OptionError("summary: images must be given for a network that has no size of its own")
        images = np.zeros((1, getattr(model, "in_channels", 3), size, size), np.float32)
    check.images("summary", images)
    rows: list[Row] = []
    work: dict[str, int] = {}

    def note(path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        work[path] = work.get(path, 0) + _multiply_adds(module, inputs[0].shape, first.shape)
        total = sum(n for other, n in work.items() if f"{other}.".startswith(f"{path}.") or not path)  # and all below
        count = sum(parameter.size for parameter in module.parameters())
        call = "" if type(module) is nn.Sequential or not path else module.call()
        rows.append(Row(path, call, tuple(first.shape), count, total))

    with ExitStack() as hooks, no_grad():
        for path, module in model.named_modules():
            hook = lambda module, inputs, output, path=path: note(path, module, inputs, output)  # noqa: E731
            hooks.enter_context(module.register_forward_hook(hook))
        hooks.enter_context(model.inference())
        model(images)
    return Summary(tuple(rows), depth)


def _multiply_adds(module: nn.Module, inputs: tuple[int, ...], output: tuple[int, ...]) -> int:
    """Products of an input with a weight of this very layer."""
    weight: Tensor | None = getattr(module, "weight", None)
    if isinstance(module, (nn.Conv2d, nn.DepthwiseConv2d)) and weight is not None:
        return weight.size * output[2] * output[3]  # each weight serves each place of the output once
    if isinstance(module, nn.ConvTranspose2d) and weight is not None:
        return weight.size * inputs[2] * inputs[3]
    if isinstance(module, nn.Linear) and weight is not None:
        return weight.size
    if isinstance(module, nn.Subsample2d):
        return int(np.prod(output[1:]))
    return module.codes.size if isinstance(module, nn.RBF) else 0
