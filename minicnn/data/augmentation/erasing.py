"""Augmentation by hiding: a part of the image is covered, so that no single part can be all that is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.data.augmentation.image import Augmentation, Image, filling, rectangle, stored, top


@dataclass(frozen=True)
class Cutout(Augmentation):
    """Cover a square, whose middle lies anywhere in the image, with ``fill`` (DeVries and Taylor 2017, section 3.2).

    Parameters
    ----------
    share : float
        The square's side as a share of the image's shorter one.
    fill : float
        A share of white.

    Examples
    --------
    >>> Cutout(0.5)(np.ones((4, 4), np.float32), np.random.default_rng(0)).sum()
    np.float32(12.0)
    """

    share: float = 0.5
    fill: float = 0.0

    def __post_init__(self) -> None:
        self.demand("share", 0, 2)
        self.demand("fill", 0, 1)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Cover."""
        h, w = image.shape[1:]
        side = round(self.share * min(h, w))
        y, x = int(rng.integers(h)) - side // 2, int(rng.integers(w)) - side // 2
        made = image.copy()
        made[:, max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = filling(self.fill, image)
        return made


@dataclass(frozen=True)
class RandomErasing(Augmentation):
    """Cover a rectangle of random area and aspect with noise, with probability ``p`` (Zhong et al. 2020, algorithm 1).

    Parameters
    ----------
    p : float
    area : (float, float)
        Shares of the image.
    ratio : (float, float)
        Width over height, drawn evenly on a logarithmic scale.

    Examples
    --------
    >>> erased = RandomErasing(p=1)(np.zeros((20, 20), np.uint8), np.random.default_rng(0))
    >>> bool(0 < (erased > 0).sum() < 200)
    True
    """

    p: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    ratio: tuple[float, float] = (0.3, 3.3)

    def __post_init__(self) -> None:
        self.demand("p", 0, 1)
        self.demand("area", 1e-6, 1, pair=True)
        self.demand("ratio", 1e-3, pair=True)

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Cover, if a rectangle is found that fits."""
        c, h, w = image.shape
        if rng.random() >= self.p or not (drawn := rectangle(h, w, self.area, self.ratio, rng)):
            return image
        left, upper, right, lower = drawn
        made = image.copy()
        made[:, upper:lower, left:right] = stored(top(image) * rng.random((c, lower - upper, right - left)), image)
        return made
