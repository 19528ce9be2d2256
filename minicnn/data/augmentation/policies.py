"""Augmentations one after the other, or chosen at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicnn.data.augmentation.geometry import Flip, RandomResizedCrop
from minicnn.data.augmentation.image import Augmentation, Image


@dataclass(frozen=True)
class Compose(Augmentation):
    """One augmentation after the other.

    Examples
    --------
    >>> both = Compose((RandomResizedCrop(8), Flip()))
    >>> both(np.zeros((3, 20, 30), np.uint8), np.random.default_rng(0)).shape
    (3, 8, 8)
    """

    steps: Sequence[Augmentation]

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Do all steps."""
        for step in self.steps:
            image = step.apply(image, rng)
        return image
