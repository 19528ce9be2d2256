"""Augmentation by colour and light.

An ``amount`` is the largest change that is drawn: factors lie in 1 - amount .. 1 + amount; 0 leaves the image as it
is. What speaks of colours leaves a grey image as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minicnn.data.augmentation.image import Augmentation, Image, stored, top
from minicnn.kernels import twin
from minicnn.kernels.reference.colour import GREY

COLOURS = ("saturation", "hue")  # of which grey has none

# Of the covariance of ImageNet's colours (pixels 0 .. 1), as everybody has them after fb.resnet.torch:
# the eigenvalues, and the eigenvectors in columns.
VALUES = np.array([0.2175, 0.0188, 0.0045])
AXES = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def adjust(image: Image, steps: Sequence[tuple[str, float]]) -> Image:
    """Change brightness, contrast, saturation (factors) and hue (a share of a turn), one after the other."""
    if image.shape[0] == 3:
        made: Image = twin("colour").adjust(image, steps=steps)
        return made
    grey = [step for step in steps if step[0] not in COLOURS]
    return np.ascontiguousarray(twin("colour").adjust(np.repeat(image, 3, axis=0), steps=grey)[:1])


@dataclass(frozen=True)
class ColourJitter(Augmentation):
    """Change brightness, contrast, saturation and hue in random order, each by a random amount.

    Parameters
    ----------
    brightness, contrast, saturation : float
        Factors are drawn from 1 - amount .. 1 + amount, none below 0.
    hue : float in 0 .. 0.5
        Shares of a whole turn are drawn from -hue .. hue.

    Examples
    --------
    >>> image = np.full((3, 2, 2), 100, np.uint8)
    >>> ColourJitter(brightness=0.5)(image, np.random.default_rng(0))[0]
    array([[114, 114],
           [114, 114]], dtype=uint8)
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        for option in ("brightness", "contrast", "saturation"):
            self.demand(option, 0)
        self.demand("hue", 0, 0.5)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw and change."""
        amounts = {what: getattr(self, what) for what in ("brightness", "contrast", "saturation", "hue")}
        steps = [
            (what, rng.uniform(-most, most) if what == "hue" else rng.uniform(max(1 - most, 0), 1 + most))
            for what, most in amounts.items()
            if most > 0
        ]
        return adjust(image, [steps[place] for place in rng.permutation(len(steps))])


def Brightness(amount: float) -> ColourJitter:  # noqa: N802 - it makes one
    """Make brighter or darker."""
    return ColourJitter(brightness=amount)


def Contrast(amount: float) -> ColourJitter:  # noqa: N802
    """Raise or lower the contrast."""
    return ColourJitter(contrast=amount)


def Saturation(amount: float) -> ColourJitter:  # noqa: N802
    """Make colours stronger or paler."""
    return ColourJitter(saturation=amount)


def Hue(amount: float) -> ColourJitter:  # noqa: N802
    """Turn the circle of colours, by up to this share of a whole turn."""
    return ColourJitter(hue=amount)


@dataclass(frozen=True)
class PCANoise(Augmentation):
    """Add to all pixels one random colour, as the colours of ImageNet vary (Krizhevsky et al. 2012, section 4.1).

    Along each axis of the cloud of ImageNet's colours, its eigenvalue times a normal number of deviation ``std``. Grey
    images stay as they are.

    Examples
    --------
    >>> image = np.full((3, 1, 1), 0.5, np.float32)
    >>> PCANoise(1.0)(image, np.random.default_rng(0)).ravel().round(2)
    array([0.48, 0.48, 0.49], dtype=float32)
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        self.demand("std", 0)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw a colour and add it."""
        if image.shape[0] == 1:
            return image
        colour = AXES @ (VALUES * self.std * rng.standard_normal(3))
        return stored(image + (top(image) * colour).reshape(3, 1, 1), image)


@dataclass(frozen=True)
class Noise(Augmentation):
    """Add to every pixel a normal number, of a deviation between 0 and ``std`` (1 is white).

    Examples
    --------
    >>> Noise(0.1)(np.full((1, 3), 0.5, np.float32), np.random.default_rng(0)).round(2)
    array([[0.47, 0.45, 0.54]], dtype=float32)
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        self.demand("std", 0)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw and add."""
        deviation = top(image) * rng.uniform(0, self.std)
        return stored(image + deviation * rng.standard_normal(image.shape, np.float32), image)


@dataclass(frozen=True)
class Blur(Augmentation):
    """Blur by a Gaussian of a deviation between 0 and ``sigma`` pixels.

    Examples
    --------
    >>> Blur(2)(np.uint8([[0, 0, 255, 0, 0]]), np.random.default_rng(0))
    array([[23, 59, 80, 59, 23]], dtype=uint8)
    """

    sigma: float = 2.0

    def __post_init__(self) -> None:
        self.demand("sigma", 0)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw and blur."""
        from scipy.ndimage import gaussian_filter

        sigma = rng.uniform(0, self.sigma)
        return stored(gaussian_filter(image.astype(np.float32), (0, sigma, sigma), mode="nearest"), image)


@dataclass(frozen=True)
class Sharpness(Augmentation):
    """Blend with the smoothed image, by a factor from 1 - amount (softer) to 1 + amount (sharper).

    Smoothed by a 3 x 3 window whose middle counts 5 and the others 1, but for the border: Pillow's
    ``ImageEnhance.Sharpness``.

    Examples
    --------
    >>> image = np.pad(np.uint8([[130]]), 1)
    >>> bool((Sharpness(0)(image, np.random.default_rng(0)) == image).all())
    True
    >>> sharpen(image[None], 0)[0, 1, 1]                 # only the smoothed image
    np.uint8(50)
    """

    amount: float = 0.5

    def __post_init__(self) -> None:
        self.demand("amount", 0)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Draw and blend."""
        return sharpen(image, rng.uniform(max(1 - self.amount, 0), 1 + self.amount))


def sharpen(image: Image, factor: float) -> Image:
    """Blend an image with its smoothed self: 0 is that, 1 the image, more is sharper."""
    from scipy.ndimage import convolve

    window = np.array([[[1, 1, 1], [1, 5, 1], [1, 1, 1]]], np.float32) / 13
    values = image.astype(np.float32)
    smooth = values.copy()
    smooth[:, 1:-1, 1:-1] = convolve(values, window)[:, 1:-1, 1:-1]
    return stored(factor * values + (1 - factor) * smooth, image)


# ------------------------------------------------------------------------------- levels of light


def by_level(image: Image, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Image:
    """Do something with an image in bytes."""
    if image.dtype == np.uint8:
        return change(image)
    return (change(np.floor(image * 255 + 0.5).astype(np.uint8)) / np.float32(255)).astype(image.dtype)


def posterize(image: Image, bits: int) -> Image:
    """Keep the highest bits of each value only."""
    mask = np.uint8(0xFF & ~(0xFF >> bits))
    return image if bits >= 8 else by_level(image, lambda levels: levels & mask)


def solarize(image: Image, threshold: float) -> Image:
    """Invert what is as bright as ``threshold`` (a share of white) or brighter."""
    return np.where(image >= threshold * top(image), invert(image), image)


def auto_contrast(image: Image) -> Image:
    """Stretch each colour so that its darkest value becomes black and its brightest white (Pillow's ``ImageOps``)."""
    low, high = (pick(image, axis=(1, 2), keepdims=True).astype(np.float64) for pick in (np.min, np.max))
    span = np.where(high > low, high - low, 1.0)
    return stored(np.where(high > low, (image - low) / span * top(image), image), image)


def equalize(image: Image) -> Image:
    """Spread the values of each colour so that all levels are about equally frequent (Pillow's ``ImageOps``)."""

    def spread(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        made = np.empty_like(levels)
        for plane, out in zip(levels, made, strict=True):
            counts = np.bincount(plane.ravel(), minlength=256)
            step = (plane.size - counts[np.nonzero(counts)[0][-1]]) // 255
            table = (step // 2 + np.cumsum(counts) - counts) // step if step else np.arange(256)
            out[...] = np.minimum(table, 255).astype(np.uint8)[plane]
        return made

    return by_level(image, spread)


def grey(image: Image) -> Image:
    """Take the colours away."""
    if image.shape[0] == 1:
        return image
    return np.repeat(stored(np.tensordot(GREY, image.astype(np.float32), 1)[None], image), 3, axis=0)


def invert(image: Image) -> Image:
    """Make a negative."""
    made: Image = image.dtype.type(top(image)) - image
    return made


@dataclass(frozen=True)
class _Sometimes(Augmentation):
    """What is done to an image with probability ``p``."""

    p: float = 0.5

    def __post_init__(self) -> None:
        self.demand("p", 0, 1)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Do it, or not."""
        return self.change(image) if rng.random() < self.p else image

    def change(self, image: Image) -> Image:
        """Do it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Grey(_Sometimes):
    """Take the colours away, with probability ``p``.

    Examples
    --------
    >>> Grey(p=1)(np.uint8([[[255]], [[0]], [[0]]]), np.random.default_rng(0)).ravel()
    array([76, 76, 76], dtype=uint8)
    """

    def change(self, image: Image) -> Image:
        """Take the colours away."""
        return grey(image)


@dataclass(frozen=True)
class Invert(_Sometimes):
    """Make a negative, with probability ``p``.

    Examples
    --------
    >>> Invert(p=1)(np.uint8([[0, 10, 255]]), np.random.default_rng(0))
    array([[255, 245,   0]], dtype=uint8)
    """

    def change(self, image: Image) -> Image:
        """Make a negative."""
        return invert(image)


@dataclass(frozen=True)
class AutoContrast(_Sometimes):
    """Stretch each colour to the full range, with probability ``p``.

    Examples
    --------
    >>> AutoContrast(p=1)(np.uint8([[10, 60, 95]]), np.random.default_rng(0))
    array([[  0, 150, 255]], dtype=uint8)
    """

    def change(self, image: Image) -> Image:
        """Stretch."""
        return auto_contrast(image)


@dataclass(frozen=True)
class Equalize(_Sometimes):
    """Spread the levels of each colour evenly, with probability ``p``.

    Examples
    --------
    >>> Equalize(p=1)(np.arange(1024, dtype=np.float32).reshape(32, 32) / 4096, np.random.default_rng(0)).max()
    np.float32(1.0)
    """

    def change(self, image: Image) -> Image:
        """Spread."""
        return equalize(image)


@dataclass(frozen=True)
class Posterize(_Sometimes):
    """Keep ``bits`` of the eight bits of each value, with probability ``p``.

    Examples
    --------
    >>> Posterize(p=1, bits=2)(np.uint8([[10, 70, 255]]), np.random.default_rng(0))
    array([[  0,  64, 192]], dtype=uint8)
    """

    bits: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.demand_whole("bits", 1, 8)

    def change(self, image: Image) -> Image:
        """Drop bits."""
        return posterize(image, self.bits)


@dataclass(frozen=True)
class Solarize(_Sometimes):
    """Invert what is brighter than ``threshold`` (a share of white), with probability ``p``.

    Examples
    --------
    >>> Solarize(p=1)(np.uint8([[10, 127, 128, 255]]), np.random.default_rng(0))
    array([[ 10, 127, 127,   0]], dtype=uint8)
    """

    threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.demand("threshold", 0, 2)

    def change(self, image: Image) -> Image:
        """Invert it."""
        return solarize(image, self.threshold)
