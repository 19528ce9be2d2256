"""Initialisers, named after the papers that gave them.

Each takes the shape of a weight, a ``np.random.Generator`` and its own options, and returns a float32 array.
``fan_in`` is the number of inputs of one unit, ``fan_out`` the number of units that one input feeds; unless given
they are read off the shape, (C_out, C_in // groups, KH, KW) or (out_features, in_features).

Layers start with ``he_2015`` and biases of zero, since all networks here but the oldest use ReLU, through which
this keeps the variance of the signal from layer to layer. Networks whose paper says otherwise are built within
``using(rule)``; LeNet-5's paper form fills in its own.

>>> rng = np.random.default_rng(0)
>>> he_2015((64, 3, 3, 3), rng).shape
(64, 3, 3, 3)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.autograd import Array, Tensor
from minicnn.functional import check

Shape = tuple[int, ...]
Generator = np.random.Generator


def fill(tensor: Tensor, values: ArrayLike) -> None:
    """Write ``values`` into a parameter, in its own dtype."""
    with tensor.changing() as array:
        array[...] = values


def fans(shape: Shape) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight.

    Examples
    --------
    >>> fans((16, 6, 5, 5)), fans((84, 120))
    ((150, 400), (120, 84))
    """
    taps = math.prod(shape[2:])
    return math.prod(shape[1:2]) * taps, shape[0] * taps


@contextmanager
def using(rule: Callable[..., Array]) -> Iterator[None]:
    """Let the layers that are made in this block start by ``rule``, an initialiser of this file or like them.

    Within ``using(zeros)`` no other rule counts: the weights will be loaded, or only their shapes are of interest, and
    drawing the 138 million of VGG-16 takes seconds.

    Examples
    --------
    >>> from minicnn import nn
    >>> with using(zeros):
    ...     nn.Linear(2, 3).weight.numpy().any()
    np.False_
    """
    token = _rule.set(zeros if _rule.get() is zeros else rule)
    try:
        yield
    finally:
        _rule.reset(token)


def first_weights(shape: Shape, generator: Generator, **options: Any) -> Array:
    """Draw what a layer starts with, by the rule of the innermost ``using`` block: an array that nobody else has."""
    rule = _rule.get()
    drawn = rule(shape, generator, **options)
    return drawn if rule is zeros else np.array(drawn, order="C")  # a copy of zeros would touch all their memory


def zeros(shape: Shape, generator: Generator, **options: Any) -> Array:
    """Nothing but 0, without drawing a number or touching memory."""
    return np.zeros(shape, np.float32)


def lecun_1998(shape: Shape, generator: Generator, *, fan_in: ArrayLike | None = None) -> Array:
    """Uniform in ±2.4 / fan_in (LeCun et al. 1998, appendix A, where fan_in is called F_i).

    ``fan_in`` may be an array that broadcasts against ``shape``: units with a connection table differ in it.
    """
    bound = 2.4 / np.asarray(fans(shape)[0] if fan_in is None else fan_in)
    return _float32(generator.uniform(-1.0, 1.0, shape) * bound)


def efficient_backprop_1998(shape: Shape, generator: Generator, *, fan_in: ArrayLike | None = None) -> Array:
    """Uniform of variance 1 / fan_in (LeCun, Bottou, Orr & Müller 1998, "Efficient BackProp", eq. 16).

    ``fan_in`` may be an array that broadcasts against ``shape``.
    """
    return _of_variance(
        1 / np.asarray(fans(shape)[0] if fan_in is None else fan_in), shape, generator, "efficient_backprop", "uniform"
    )


def glorot_2010(shape: Shape, generator: Generator, *, distribution: str = "uniform") -> Array:
    """Variance 2 / (fan_in + fan_out), for tanh and its like (Glorot & Bengio 2010, eq. 16; "Xavier")."""
    return _of_variance(2 / sum(fans(shape)), shape, generator, "glorot_2010", distribution)


def he_2015(
    shape: Shape,
    generator: Generator,
    *,
    mode: str = "fan_in",
    distribution: str = "normal",
    fan_in: ArrayLike | None = None,
) -> Array:
    """Variance 2 / fan_in, for ReLU (He et al. 2015, eq. 10; "Kaiming").

    ``mode="fan_out"`` keeps the variance of the gradients instead (eq. 14), as ResNet's weights did.
    ``fan_in`` may be an array that broadcasts against ``shape``.
    """
    inputs, outputs = fans(shape)
    wanted = check.choice("he_2015", "mode", mode, ("fan_in", "fan_out"))
    fan = outputs if wanted == "fan_out" else inputs if fan_in is None else fan_in
    return _of_variance(2 / np.asarray(fan), shape, generator, "he_2015", distribution)


def normal(shape: Shape, generator: Generator, *, mean: float = 0.0, std: float = 0.01) -> Array:
    """Gaussian; 0.01 is AlexNet's (Krizhevsky et al. 2012, section 5)."""
    return _float32(generator.normal(mean, std, shape))


def trunc_normal(
    shape: Shape, generator: Generator, *, mean: float = 0.0, std: float = 0.01, cut: float = 2.0
) -> Array:
    """Gaussian without what lies more than ``cut`` standard deviations from the mean: it is drawn again."""
    check.number("trunc_normal", "cut", cut, 0.1)
    draws = generator.standard_normal(shape)
    while (outside := np.abs(draws) > cut).any():
        draws[outside] = generator.standard_normal(int(outside.sum()))
    return _float32(mean + std * draws)


def _of_variance(variance: ArrayLike, shape: Shape, generator: Generator, op: str, distribution: str) -> Array:
    if check.choice(op, "distribution", distribution, ("uniform", "normal")) == "uniform":
        return _float32(generator.uniform(-1.0, 1.0, shape) * np.sqrt(3 * np.asarray(variance)))
    return _float32(generator.standard_normal(shape) * np.sqrt(variance))


def _float32(values: Any) -> Array:
    return np.asarray(values, dtype=np.float32)


_rule: ContextVar[Callable[..., Array]] = ContextVar("rule", default=he_2015)
