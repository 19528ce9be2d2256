"""What all augmentations share: which images they take, and how their options are checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DTypeError, OptionError, ShapeError

Image = NDArray[Any]  # (C, H, W) with C 1 or 3, uint8 in 0 .. 255 or float32 in 0 .. 1


@dataclass(frozen=True)
class Augmentation:
    """A change to an image: ``augmentation(image, rng) -> image``. A subclass writes ``apply``.

    The image is (H, W) or (C, H, W) with C 1 or 3, uint8 in 0 .. 255 or float32 in 0 .. 1. It stays as it is; what
    comes out is new, of the same dtype, range and channels. All randomness comes from ``rng``.
    """

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """Return a changed copy.

        Raises
        ------
        ShapeError, DTypeError
            If the image is of another kind.
        """
        name = type(self).__name__
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[0] not in (1, 3)) or image.size == 0:
            raise ShapeError(f"{name}: an image must have shape (H, W) or (1 or 3, H, W), got {image.shape}")
        if image.dtype not in (np.uint8, np.float32):
            raise DTypeError(f"{name}: an image must be uint8 or float32, got {image.dtype}")
        made = self.apply(image if image.ndim == 3 else image[None], rng)
        return made if image.ndim == 3 else made[..., 0, :, :]

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return a changed copy of an image (C, H, W)."""
        raise NotImplementedError

    def demand(self, option: str, low: float, high: float = math.inf) -> None:
        """Refuse an option, or a pair of them, that is not a number within bounds, or not in order.

        Raises
        ------
        OptionError
        """
        value = getattr(self, option)
        numbers = value if isinstance(value, (tuple, list)) else (value,)
        legal = all(isinstance(n, (int, float, np.number)) and not isinstance(n, bool) for n in numbers)
        if (
            not legal
            or not all(low <= n <= high and math.isfinite(n) for n in numbers)
            or list(numbers) != sorted(numbers)
        ):
            pair = " (two of them, the smaller first)" if isinstance(value, (tuple, list)) else ""
            rule = f"in {low:g} .. {high:g}" if high < math.inf else f">= {low:g}"
            raise OptionError(f"{type(self).__name__}: {option} must be a number {rule}{pair}, got {value!r}")


def top(image: Image) -> float:
    """Return what white is in an image: 255 or 1."""
    return 255.0 if image.dtype == np.uint8 else 1.0


def stored(values: NDArray[Any], like: Image) -> Image:
    """Bring numbers into the range and dtype of an image; bytes are rounded."""
    if like.dtype == np.uint8:
        return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)
    made: Image = np.clip(values, 0, 1).astype(like.dtype)
    return made
