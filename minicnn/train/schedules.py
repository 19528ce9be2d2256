"""How the learning rate changes: functions from the progress of training to a factor.

Progress is counted in epochs, with fractions: 2.5 is half-way through the third. The factor multiplies every
group's ``lr``. A schedule is a pure function of progress and so has no state: a resumed run asks it again.

Examples
--------
>>> [Step(every=2, factor=0.1)(epoch) for epoch in (0, 1, 2, 3)]
[1.0, 1.0, 0.1, 0.1]
>>> [round(Warmup(2, Cosine(4))(epoch), 3) for epoch in (0, 0.5, 1, 2, 3, 4)]
[0.0, 0.24, 0.427, 0.5, 0.146, 0.0]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from minicnn.errors import OptionError

Schedule = Callable[[float], float]


def _demand(schedule: object, rule: str, holds: bool) -> None:
    if not holds:  # written so that NaN holds nothing
        raise OptionError(f"{type(schedule).__name__}: {rule}, got {schedule}")


@dataclass(frozen=True)
class Step:
    """Multiply by ``factor`` after every ``every`` epochs."""

    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _demand(self, "every must be >= 1 and factor > 0", self.every >= 1 and 0 < self.factor < math.inf)

    def __call__(self, progress: float) -> float:
        return float(self.factor ** (progress // self.every))


@dataclass(frozen=True)
class Cosine:
    """Fall along half a cosine from 1 to ``floor`` in ``epochs`` (Loshchilov and Hutter 2017, equation 5)."""

    epochs: float
    floor: float = 0.0

    def __post_init__(self) -> None:
        _demand(self, "epochs must be > 0 and floor in 0 .. 1", self.epochs > 0 and 0 <= self.floor <= 1)

    def __call__(self, progress: float) -> float:
        done = min(progress / self.epochs, 1.0)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Polynomial:
    """Fall as ``(1 - progress / epochs) ** power`` to 0: GoogLeNet's (power 0.5) and others'."""

    epochs: float
    power: float = 1.0

    def __post_init__(self) -> None:
        _demand(self, "epochs and power must be > 0", self.epochs > 0 and self.power > 0)

    def __call__(self, progress: float) -> float:
        return float((1 - min(progress / self.epochs, 1.0)) ** self.power)


@dataclass(frozen=True)
class Table:
    """Hold each factor for a number of epochs, the last one for ever: ``((epochs, factor), ...)``."""

    rows: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        sound = len(self.rows) > 0 and all(n >= 1 and 0 < factor < math.inf for n, factor in self.rows)
        _demand(self, "rows must be (epochs >= 1, factor > 0), at least one", sound)

    def __call__(self, progress: float) -> float:
        end = 0
        for epochs, factor in self.rows:
            end += epochs
            if progress < end:
                return factor
        return self.rows[-1][1]


@dataclass(frozen=True)
class Warmup:
    """Rise from 0 along a straight line for ``epochs``, and follow ``then`` all the while (by default: stay)."""

    epochs: float
    then: Schedule | None = None

    def __post_init__(self) -> None:
        _demand(self, "epochs must be > 0", self.epochs > 0)

    def __call__(self, progress: float) -> float:
        return min(progress / self.epochs, 1.0) * (self.then(progress) if self.then else 1.0)


LECUN_1998 = Table(((2, 1.0), (3, 0.4), (3, 0.2), (4, 0.1), (8, 0.02)))
"""LeNet-5's twenty passes (LeCun et al. 1998, section III.C), as factors of ``lr=0.0005``: 0.0005 for two passes,
0.0002 for three, 0.0001 for three, 0.00005 for four and 0.00001 for the rest."""
