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
        made = made if image.ndim == 3 else made[..., 0, :, :]
        return made.copy() if np.may_share_memory(made, image) else made

    def apply(self, image: Image, rng: np.random.Generator) -> Image:
        """Return a changed copy of an image (C, H, W), or where nothing changes the image itself."""
        raise NotImplementedError

    def demand_whole(self, option: str, low: int, high: float = math.inf) -> None:
        """Refuse an option that is not a whole number within bounds.

        Raises
        ------
        OptionError
        """
        value = getattr(self, option)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
            rule = f"in {low} .. {high}" if high < math.inf else f">= {low}"
            raise OptionError(f"{type(self).__name__}: {option} must be an integer {rule}, got {value!r}")

    def demand(self, option: str, low: float, high: float = math.inf, *, pair: bool = False) -> None:
        """Refuse an option that is not a number within bounds, or with ``pair`` two of them, the smaller first.

        Raises
        ------
        OptionError
        """
        value = getattr(self, option)
        numbers = value if pair and isinstance(value, (tuple, list)) else (value,)
        legal = len(numbers) == 1 + pair and all(
            isinstance(n, (int, float, np.number)) and not isinstance(n, bool) and low <= n <= high and math.isfinite(n)
            for n in numbers
        )
        if not legal or list(numbers) != sorted(numbers):
            what = "a pair of numbers, the smaller first," if pair else "a number"
            rule = f"in {low:g} .. {high:g}" if high < math.inf else f">= {low:g}"
            raise OptionError(f"{type(self).__name__}: {option} must be {what} {rule}, got {value!r}")


def rectangle(
    h: int, w: int, area: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Draw a part of an image: left, top, right and bottom; None where ten draws do not fit.

    Its share of the area is drawn evenly, width over height evenly on a logarithmic scale.
    """
    low, high = map(math.log, ratio)
    for _ in range(10):
        pixels, aspect = h * w * rng.uniform(*area), math.exp(rng.uniform(low, high))
        width, height = max(round(math.sqrt(pixels * aspect)), 1), max(round(math.sqrt(pixels / aspect)), 1)
        if width <= w and height <= h:
            left, upper = int(rng.integers(w - width + 1)), int(rng.integers(h - height + 1))
            return left, upper, left + width, upper + height
    return None


def top(image: Image) -> float:
    """Return what white is in an image: 255 or 1."""
    return 255.0 if image.dtype == np.uint8 else 1.0


def filling(share: float, like: Image) -> Image:
    """Return a share of white as a pixel of an image."""
    return stored(np.asarray(share * top(like)), like)


def stored(values: NDArray[Any], like: Image) -> Image:
    """Bring numbers into the range and dtype of an image; bytes are rounded."""
    made: Image = np.clip(np.floor(values + 0.5), 0, 255) if like.dtype == np.uint8 else np.clip(values, 0, 1)
    return made.astype(like.dtype)
