"""From photos of any size to what the first layer of a network was trained on: resize, crop, order, scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.pictures import picture_of
from minicnn.errors import DTypeError, OptionError, ShapeError, import_extra

Image = NDArray[np.uint8]

INTERPOLATIONS = ("nearest", "bilinear", "bicubic")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is done to an image before a network sees it. Calling it does that.

    Attributes
    ----------
    size : int
        Height and width of what comes out, in pixels.
    resize : int, optional
        What the shorter side becomes first; then the middle is cut out. None: the whole image is stretched to
        ``size``, whatever its shape.
    corner : {"down", "nearest"}
        Where the middle starts if as many pixels cannot stand on both sides: half a pixel lower, as Keras' CenterCrop
        and Caffe have it, or rounded to the even one, as torchvision does.
    interpolation : {"nearest", "bilinear", "bicubic"}
        How Pillow resizes; the last two take the mean over all pixels that fall together.
    order : {"RGB", "BGR"}
        Of the channels that come out.
    scale : float
        What 255 becomes.
    mean, std : three floats, in the order ``order``
        Subtracted, and divided by, after the scaling.
    channels : 3 or 1
        1 for a network that sees grey; mean and std are then those of the three taken together.

    Examples
    --------
    >>> see = Preprocessing(size=224, resize=256, scale=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    >>> photo = np.full((300, 400, 3), 255, np.uint8)
    >>> x = see([photo])
    >>> x.shape, x.min(), x.max()
    ((1, 3, 224, 224), np.float32(1.0), np.float32(1.0))
    """

    size: int
    resize: int | None = None
    corner: str = "down"
    interpolation: str = "bilinear"
    order: str = "RGB"
    scale: float = 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: int = 3

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """Prepare a batch.

        Parameters
        ----------
        images : uint8 array, shape (N, H, W) or (N, C, H, W) with C 1 or 3; or a sequence of images
            Each a Pillow image, or a uint8 array (H, W) or (H, W, 3), of any size. Colours are RGB.

        Returns
        -------
        float32 array, shape (N, channels, size, size)

        Raises
        ------
        DTypeError, ShapeError, OptionError
            If an array is not uint8, has another shape, or the network sees neither 1 nor 3 channels.
        MissingExtraError
            If Pillow is not installed.
        """
        if self.channels not in (1, 3):
            raise OptionError(f"preprocess: in_channels must be 1 (grey) or 3 (colour), got {self.channels}")
        pixels = [self.cut(image) for image in _each(images)]
        if not pixels:
            return np.zeros((0, self.channels, self.size, self.size), np.float32)
        return self.normalise(np.stack(pixels))

    def normalise(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Do what comes after cutting: the order of the channels, the scale, mean and deviation.

        Parameters
        ----------
        images : uint8 array, shape (N, channels, H, W)
            As ``cut`` makes them, RGB; (N, H, W) if ``channels`` is 1.

        Returns
        -------
        float32 array, shape (N, channels, H, W)

        Examples
        --------
        >>> Preprocessing(size=2, scale=1.0).normalise(np.full((1, 3, 2, 2), 255, np.uint8))[0, 0]
        array([[1., 1.],
               [1., 1.]], dtype=float32)
        """
        if images.ndim == 3 and self.channels == 1:
            images = images[:, None]
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise ShapeError(f"normalise: images must have shape (N, {self.channels}, H, W), got {images.shape}")
        if images.dtype != np.uint8:
            raise DTypeError(f"normalise: images must be uint8 in 0 .. 255, got {images.dtype}")
        x = images[:, :: -1 if self.order == "BGR" else 1].astype(np.float32)
        mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        if self.channels == 1:
            mean, std = mean.mean(), std.mean()
        return np.ascontiguousarray((x * np.float32(self.scale / 255) - mean) / std, dtype=np.float32)

    def coloured(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return an image (H, W) or (C, H, W) with as many channels as come out, (channels, H, W), else as it is.

        Examples
        --------
        >>> Preprocessing(size=4).coloured(np.zeros((9, 9), np.uint8)).shape
        (3, 9, 9)
        """
        planes = image if image.ndim == 3 else image[None]
        if len(planes) == self.channels:
            return planes
        if self.channels == 3:
            return np.repeat(planes, 3, axis=0)
        return np.asarray(picture_of(planes).convert("L"))[None]

    def at(self, size: int, channels: int = 3) -> Preprocessing:
        """Return the same for another size of the network's input, cut out of the photo in the same proportion."""
        resize = None if self.resize is None else round(self.resize * size / self.size)
        return replace(self, size=size, resize=resize, channels=channels)

    def cut(self, image: Any, rng: object = None) -> Image:
        """Resize one image and cut out the middle.

        Parameters
        ----------
        image : Pillow image, or uint8 array, shape (H, W) or (C, H, W) with C 1 or 3
        rng : object
            Not used: so that it can be the ``transform`` of a ``data.Loader``.

        Returns
        -------
        uint8 array, shape (channels, size, size)

        Raises
        ------
        MissingExtraError
            If Pillow is not installed.

        Examples
        --------
        >>> Preprocessing(size=4, resize=6).cut(np.zeros((3, 90, 60), np.uint8)).shape
        (3, 4, 4)
        """
        image = self._resized(image)
        whole = round if self.corner == "nearest" else math.floor
        left, top = (whole((side - self.size) / 2) for side in image.size)
        return self._pixels(image.crop((left, top, left + self.size, top + self.size)))

    def resized(self, image: Any) -> Image:
        """Resize one image as ``cut`` does, and leave it whole: from it other parts than the middle can be cut.

        Parameters
        ----------
        image : Pillow image, or uint8 array, shape (H, W) or (C, H, W) with C 1 or 3

        Returns
        -------
        uint8 array, shape (channels, h, w)

        Examples
        --------
        >>> Preprocessing(size=4, resize=6).resized(np.zeros((3, 90, 60), np.uint8)).shape
        (3, 9, 6)
        """
        return self._pixels(self._resized(image))

    def _resized(self, image: Any) -> Any:
        pillow = import_extra("PIL.Image", "preprocessing")
        if not isinstance(image, pillow.Image):
            image = picture_of(image)
        image = image.convert("L" if self.channels == 1 else "RGB")
        new = (self.size, self.size)
        if self.resize is not None:
            width, height = image.size
            short = min(width, height)
            new = (self.resize * width // short, self.resize * height // short)
        return image if new == image.size else image.resize(new, pillow.Resampling[self.interpolation.upper()])

    def _pixels(self, image: Any) -> Image:
        pixels = np.asarray(image)
        return pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)


def _each(images: Any) -> Iterable[Any]:
    """Yield the images of a batch, each as Pillow's or as an array (H, W) or (C, H, W)."""
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8:
            raise DTypeError(f"preprocess: images must be uint8 in 0 .. 255, got {images.dtype}")
        if images.ndim == 3:
            return images
        if images.ndim == 4 and images.shape[1] in (1, 3):
            return images
        hint = ": put the channels first" if images.ndim == 4 and images.shape[3] in (1, 3) else ""
        raise ShapeError(f"preprocess: images must have shape (N, H, W) or (N, 1 or 3, H, W), got {images.shape}{hint}")
    if isinstance(images, (str, bytes)) or not isinstance(images, Iterable):
        raise DTypeError(f"preprocess: images must be an array or a sequence of images, got {type(images).__name__}")
    return map(_checked, images)


def _checked(image: Any) -> Any:
    if not isinstance(image, np.ndarray):
        if not isinstance(image, import_extra("PIL.Image", "preprocessing").Image):
            raise DTypeError(
                f"preprocess: each image must be a Pillow image or a uint8 array, got {type(image).__name__}"
            )
        return image
    if image.dtype != np.uint8:
        raise DTypeError(f"preprocess: each image must be uint8 in 0 .. 255, got {image.dtype}")
    if image.ndim != 2 and (image.ndim != 3 or image.shape[2] != 3):
        raise ShapeError(f"preprocess: each image must have shape (H, W) or (H, W, 3), got {image.shape}")
    if image.size == 0:
        raise ShapeError(f"preprocess: each image must have at least one pixel, got {image.shape}")
    return image if image.ndim == 2 else image.transpose(2, 0, 1)
