"""What a legal call of each op is, said once, for every battery.

``cases/<op>.py`` holds one ``CASE``. The batteries (test_ops.py) find it by its name. (``sum_.py``
and its like have a trailing underscore, for an imported file becomes a name of this package: no builtin's, please.)

Geometry and values are drawn so that a failing example shrinks to something a person can check by hand:
sizes shrink to 1, and the values (which come from one drawn seed) to the ramp 1, 2, 3, ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minicnn.functional as F
from minicnn.errors import DTypeError, OptionError, ShapeError


class Call(NamedTuple):
    """One call: the arrays that can be differentiated, and everything else, by argument name."""

    inputs: dict[str, np.ndarray]
    options: dict[str, Any] = {}  # noqa: RUF012 - never written to

    def astype(self, dtype) -> Call:
        return Call({name: array.astype(dtype) for name, array in self.inputs.items()}, self.options)


class Refused(NamedTuple):
    """A call that must raise ``error`` with a message that matches ``text`` (a regular expression)."""

    arguments: dict[str, Any]
    error: type[Exception]
    text: str


@dataclass(frozen=True)
class Case:
    """All that the batteries know of one op."""

    op: str
    calls: st.SearchStrategy[Call]  # legal calls in float64, small enough for plain loops
    by_hand: list[tuple[Call, Any]]  # worked with pen and paper: call, expected output
    refused: list[Refused] = field(default_factory=list)
    linear_in: tuple[str, ...] = ()  # inputs in which the op is linear, the others held: adjoint identity
    batched: tuple[str, ...] = ("input",)  # inputs whose first axis is the batch; () where there is none
    # How to call it: a case whose op changes an argument (running statistics) hands over a fresh copy.
    run: Callable[..., Any] | None = None

    def __call__(self, **arguments: Any) -> Any:
        return (self.run or getattr(F, self.op))(**arguments)

    def _repr_pretty_(self, printer, cycle) -> None:  # Hypothesis would print every field
        printer.text(f"<case {self.op}>")


def all_cases() -> list[Case]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
    return [import_module(f"cases.{name}").CASE for name in names]


# ----------------------------------------------------------------------------------------- drawing values

seeds = st.integers(0, 2**32 - 1)


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)  # for ops that take any shape


def values(shape, seed: int) -> np.ndarray:
    """Ordinary values; seed 0 is the ramp 1, 2, 3, ... that a shrunk example shows."""
    size = int(np.prod(shape))
    if seed == 0:
        return np.arange(1.0, size + 1).reshape(shape)
    return np.random.default_rng(seed).standard_normal(shape)


def spread(shape, seed: int, gap: float = 0.05) -> np.ndarray:
    """Values that keep ``gap`` from each other and from 0: finite differences meet no tie and no kink."""
    size = int(np.prod(shape))
    ladder = (np.arange(size) - size // 2 + 0.5) * gap
    if seed == 0:
        return ladder.reshape(shape)
    return np.random.default_rng(seed).permutation(ladder).reshape(shape)


# ----------------------------------------------------------------------------------------- drawing windows


@st.composite
def windows(draw, *, most_pixels: int = 8, dilated: bool = True, ceil: bool = False, half: bool = False):
    """Draw (H, W) and the options of a window that fits: kernel, stride, padding, dilation, ceil_mode.

    ``half``: a pool's rule, at most half a window of padding.
    """
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2))) if dilated else (1, 1)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = [[draw(st.integers(0, s // 2 if half else s)) for _ in range(2)] for s in spans]
    sizes = [draw(st.integers(max(1, s - sum(p)), max(s, most_pixels))) for s, p in zip(spans, pads, strict=True)]
    options = {"stride": (draw(st.integers(1, 3)), draw(st.integers(1, 3))), "padding": tuple(map(tuple, pads))}
    if dilated:
        options["dilation"] = dilation
    if ceil:
        options["ceil_mode"] = draw(st.booleans())
    return tuple(sizes), kernel, options


# ----------------------------------------------------------------------------------------- drawing elements


def positive(shape, seed: int) -> np.ndarray:
    """Values of at least 0.5."""
    return np.asarray(0.5 + np.abs(values(shape, seed)))


def coarse(shape, seed: int) -> np.ndarray:
    """Values of at least 0.5 in size, of both signs."""
    return spread(shape, seed, gap=1.0)


@st.composite
def one_array(draw, numbers=values):
    """Draw a call of a function of single elements."""
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))
    return Call({"input": numbers(shape, draw(seeds))})


@st.composite
def two_arrays(draw, numbers=values, second=values):
    """Draw a call with two operands whose shapes broadcast, half of the time the same shape."""
    same = draw(st.booleans())
    shapes = [draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))] * 2
    if not same:
        shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)).input_shapes
    return Call({"a": numbers(shapes[0], draw(seeds)), "b": second(shapes[1], draw(seeds))})


def refused_operands(op: str) -> list[Refused]:
    """What add, sub, mul and div refuse alike."""
    a = np.ones((2, 3))
    return [
        Refused({"a": a, "b": np.ones((2, 2))}, ShapeError, rf"{op}: shapes must broadcast, got \(2, 3\) and \(2, 2\)"),
        Refused(
            {"a": a, "b": a.astype(np.float32)}, DTypeError, rf"{op}: all arrays must have one dtype, got a float64, b"
        ),
        Refused({"a": a, "b": a.astype(int)}, DTypeError, rf"{op}: b must be float32 or float64, got int64"),
        Refused({"a": a, "b": 10**400}, OptionError, rf"{op}: a number must fit into float64, got .* of 401 digits"),
        Refused({"a": a, "b": "1"}, DTypeError, rf"{op}: b must be a Tensor or a NumPy array, got str"),
        Refused({"a": 1.0, "b": 2.0}, DTypeError, rf"{op}: a must be a Tensor or a NumPy array, got float"),
        Refused({"a": None, "b": a}, DTypeError, rf"{op}: a must be a Tensor or a NumPy array, got NoneType"),
    ]


def refused_operand(op: str) -> list[Refused]:
    """What every function of single elements refuses."""
    return [
        Refused({"input": np.arange(3)}, DTypeError, rf"{op}: input must be float32 or float64, got int64"),
        Refused({"input": [1.0]}, DTypeError, rf"{op}: input must be a Tensor or a NumPy array, got list"),
        Refused({"input": np.ones(1, complex)}, DTypeError, rf"{op}: input must be .*got complex128"),
        Refused({"input": np.ma.ones(2)}, DTypeError, rf"{op}: input is a masked array"),
    ]
