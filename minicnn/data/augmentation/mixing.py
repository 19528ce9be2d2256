"""Augmentation of a batch: images are mixed, and so are their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.augmentation.image import Image, stored
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError

Soft = NDArray[np.float32]


@dataclass(frozen=True)
class Mixup:
    """Blend each image with another one of the batch, and their labels alike (Zhang et al. 2018, equation 1).

    The ``mix`` of a ``Loader``: images (N, C, H, W) and labels (N,) -> images and the shares of the classes, float32
    (N, classes), rows of which sum to 1.

    Parameters
    ----------
    classes : int
    alpha : float
        Shares are drawn from a beta distribution with this parameter twice: the smaller, the less is blended.

    Examples
    --------
    >>> images = np.stack([np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), 200, np.uint8)])
    >>> mixed, shares = Mixup(2, alpha=1.0)(images, np.array([0, 1]), np.random.default_rng(3))
    >>> shares.sum(axis=1)
    array([1., 1.], dtype=float32)
    """

    classes: int
    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, images: Image, labels: NDArray[Any], rng: np.random.Generator) -> tuple[Image, Soft]:
        """Mix a batch."""
        _check_batch(self, images, labels)
        share, others = rng.beta(self.alpha, self.alpha), rng.permutation(len(images))
        mixed = share * images.astype(np.float64) + (1 - share) * images[others]
        return stored(mixed, images), _blend(labels, others, share, self.classes)


@dataclass(frozen=True)
class CutMix:
    """Replace a rectangle of each image by that of another one, and as much of its label (Yun et al. 2019, 3.1).

    The ``mix`` of a ``Loader``, as ``Mixup``.

    Parameters
    ----------
    classes : int
    alpha : float
        The share of the image that stays is drawn from a beta distribution with this parameter twice.

    Examples
    --------
    >>> images = np.stack([np.zeros((1, 4, 4), np.uint8), np.full((1, 4, 4), 1, np.uint8)])
    >>> mixed, shares = CutMix(2)(images, np.array([0, 1]), np.random.default_rng(0))
    >>> bool(mixed[0].mean() == shares[0, 1])                      # as much of the label as of the image
    True
    """

    classes: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, images: Image, labels: NDArray[Any], rng: np.random.Generator) -> tuple[Image, Soft]:
        """Mix a batch."""
        _check_batch(self, images, labels)
        h, w = images.shape[-2:]
        side, others = math.sqrt(1 - rng.beta(self.alpha, self.alpha)), rng.permutation(len(images))
        y, x = rng.integers(h), rng.integers(w)
        top, bottom = (int(np.clip(y + sign * h * side / 2, 0, h)) for sign in (-1, 1))
        left, right = (int(np.clip(x + sign * w * side / 2, 0, w)) for sign in (-1, 1))
        mixed = images.copy()
        mixed[..., top:bottom, left:right] = images[others][..., top:bottom, left:right]
        return mixed, _blend(labels, others, 1 - (bottom - top) * (right - left) / (h * w), self.classes)


def _check(mix: Any) -> None:
    name = type(mix).__name__
    if isinstance(mix.classes, bool) or not isinstance(mix.classes, int) or mix.classes < 1:
        raise OptionError(f"{name}: classes must be an integer >= 1, got {mix.classes!r}")
    if not 0 < mix.alpha < math.inf:
        raise OptionError(f"{name}: alpha must be a number > 0, got {mix.alpha!r}")


def _check_batch(mix: Any, images: Image, labels: NDArray[Any]) -> None:
    name = type(mix).__name__
    if images.ndim < 3 or labels.shape != images.shape[:1]:
        rule = "images must have shape (N, ..., H, W) and labels (N,)"
        raise ShapeError(f"{name}: {rule}, got {images.shape} and {labels.shape}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DTypeError(f"{name}: labels must be integers, got {labels.dtype}")
    if images.dtype not in (np.uint8, np.float32):
        raise DTypeError(f"{name}: images must be uint8 or float32, got {images.dtype}")
    if labels.size and not 0 <= labels.min() <= labels.max() < mix.classes:
        rule = f"labels must lie in 0 .. {mix.classes - 1}"
        raise LabelError(f"{name}: {rule}, got {labels.min()} .. {labels.max()}")


def _blend(labels: NDArray[Any], others: NDArray[Any], share: float, classes: int) -> Soft:
    rows = np.arange(len(labels))
    soft = np.zeros((len(labels), classes), np.float32)
    soft[rows, labels] = share
    soft[rows, labels[others]] += np.float32(1) - np.float32(share)
    return soft
