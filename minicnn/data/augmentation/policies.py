"""Augmentations one after the other, or chosen at random; and ten views of one image for the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minicnn.data.augmentation.colour import ColourJitter, adjust, auto_contrast, equalize, posterize, sharpen, solarize
from minicnn.data.augmentation.geometry import RandomResizedCrop, affine, bend
from minicnn.data.augmentation.image import Augmentation, Image
from minicnn.errors import OptionError, ShapeError


@dataclass(frozen=True)
class Compose(Augmentation):
    """One augmentation after the other.

    Examples
    --------
    >>> both = Compose((RandomResizedCrop(8), ColourJitter(0.4)))
    >>> both(np.zeros((3, 20, 30), np.uint8), np.random.default_rng(0)).shape
    (3, 8, 8)
    """

    steps: tuple[Augmentation, ...]

    def __post_init__(self) -> None:
        for step in self.steps:
            if not isinstance(step, Augmentation):
                raise OptionError(f"Compose: every step must be an augmentation, got {step!r}")

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Do all steps."""
        for step in self.steps:
            image = step.apply(image, rng)
        return image


def imagenet(size: int = 224) -> Compose:
    """Return the usual recipe for ImageNet: a part of random size and aspect, mirrored or not, its colours changed.

    Examples
    --------
    >>> imagenet(32)(np.zeros((3, 60, 80), np.uint8), np.random.default_rng(0)).shape
    (3, 32, 32)
    """
    return Compose((RandomResizedCrop(size, flip=0.5), ColourJitter(0.4, 0.4, 0.4, 0.1)))


# ------------------------------------------------------------------------------- one of many, at random


class Change(NamedTuple):
    """One of the changes that a policy draws: what it does, and its strength at a magnitude of 0 and 1."""

    do: Callable[[Image, float], Image]
    least: float
    most: float
    signed: bool = False


def _shift(image: Image, right: float, down: float) -> Image:
    return bend(image, affine(shift=(right, down)))


def _factor(what: str) -> Callable[[Image, float], Image]:
    return lambda image, amount: adjust(image, [(what, 1 + amount)])


def _changes(shear: float, shift: Callable[[int], float], turn: float, factor: float, bits: int) -> dict[str, Change]:
    """Make the table of changes with a policy's largest strengths."""
    return {
        "identity": Change(lambda image, _: image, 0, 0),
        "shear_x": Change(lambda image, amount: bend(image, affine(shear=(amount, 0))), 0, shear, True),
        "shear_y": Change(lambda image, amount: bend(image, affine(shear=(0, amount))), 0, shear, True),
        "translate_x": Change(lambda image, part: _shift(image, part * shift(image.shape[2]), 0), 0, 1, True),
        "translate_y": Change(lambda image, part: _shift(image, 0, part * shift(image.shape[1])), 0, 1, True),
        "rotate": Change(lambda image, amount: bend(image, affine(amount)), 0, turn, True),
        "brightness": Change(_factor("brightness"), 0, factor, True),
        "saturation": Change(_factor("saturation"), 0, factor, True),
        "contrast": Change(_factor("contrast"), 0, factor, True),
        "sharpness": Change(lambda image, amount: sharpen(image, 1 + amount), 0, factor, True),
        "posterize": Change(lambda image, kept: posterize(image, round(kept)), 8, bits),
        "solarize": Change(solarize, 256 / 255, 0),
        "auto_contrast": Change(lambda image, _: auto_contrast(image), 0, 0),
        "equalize": Change(lambda image, _: equalize(image), 0, 0),
    }


# The strengths are the authors': a shear of 0.3 moves the next row by 0.3 pixels, shifts are a share of the side
# (RandAugment: 150 of 331 pixels) or pixels (TrivialAugment's "wide" space: 32).
RAND = _changes(math.degrees(math.atan(0.3)), lambda side: side * 150 / 331, 30, 0.9, 4)
WIDE = _changes(math.degrees(math.atan(0.99)), lambda side: 32.0, 135, 0.99, 2)


def _drawn(image: Image, changes: Mapping[str, Change], magnitude: float, rng: np.random.Generator) -> Image:
    change = changes[list(changes)[rng.integers(len(changes))]]
    amount = change.least + magnitude * (change.most - change.least)
    return change.do(image, -amount if change.signed and rng.random() < 0.5 else amount)


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """``n`` changes, drawn one after the other from a table of 14, all at one magnitude (Cubuk et al. 2020, section 3).

    Parameters
    ----------
    n : int
    magnitude : int
        Of 0 .. 30; the paper's default for ImageNet is 9.

    Examples
    --------
    >>> image = np.zeros((3, 8, 8), np.uint8)
    >>> RandAugment(2, 9)(image, np.random.default_rng(0)).shape
    (3, 8, 8)
    """

    n: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        self.demand_whole("n", 0)
        self.demand("magnitude", 0, 30)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw and change."""
        made = image
        for _ in range(self.n):
            made = _drawn(made, RAND, self.magnitude / 30, rng)
        return made


@dataclass(frozen=True)
class TrivialAugment(Augmentation):
    """One change, drawn from a table of 14, at a magnitude that is drawn too (Müller and Hutter 2021, "wide" space).

    Examples
    --------
    >>> TrivialAugment()(np.zeros((3, 8, 8), np.uint8), np.random.default_rng(0)).shape
    (3, 8, 8)
    """

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw and change."""
        return _drawn(image, WIDE, rng.integers(31) / 30, rng)


# ------------------------------------------------------------------------------- for the test


@dataclass(frozen=True)
class TenCrop:
    """Cut out the four corners and the middle, and mirror all: ten views, over which answers are averaged.

    Krizhevsky et al. 2012, section 4.1. (C, H, W) -> (10, C, size, size).

    Examples
    --------
    >>> TenCrop(2)(np.arange(9, dtype=np.uint8).reshape(1, 3, 3))[[0, 3, 4, 9], 0, 0]
    array([[0, 1],
           [4, 5],
           [0, 1],
           [1, 0]], dtype=uint8)
    """

    size: int

    def __call__(self, image: Image, rng: object = None) -> Image:
        """Return the ten views; ``rng`` is not used.

        Raises
        ------
        ShapeError
            If the image is smaller than ``size``.
        """
        h, w, side = *image.shape[-2:], self.size
        if min(h, w) < side:
            raise ShapeError(f"TenCrop: an image must be at least {side} x {side}, got {h} x {w}")
        corners = [(0, 0), (0, w - side), (h - side, 0), (h - side, w - side), ((h - side) // 2, (w - side) // 2)]
        views = [image[..., y : y + side, x : x + side] for y, x in corners]
        return np.stack([*views, *(view[..., ::-1] for view in views)])
