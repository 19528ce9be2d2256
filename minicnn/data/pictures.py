"""Files of pictures, whatever they hold: decoded, the right way up, and never larger than memory likes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import DTypeError, LoadError, ShapeError, import_extra

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # some of Pillow's others start programs (EPS)
MOST_PIXELS = 50_000_000  # three bytes each, while they are read


def open_picture(path: str | Path, *, upright: bool = True) -> Any:
    """Decode a picture.

    Parameters
    ----------
    path : path
        A PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM file of at most 50 million pixels; of an animation the first frame.
    upright : bool
        Turn it as its camera says (EXIF orientation).

    Returns
    -------
    PIL.Image.Image
        In whatever mode it is.

    Raises
    ------
    LoadError
        If the file is missing, no such picture, damaged, or too large.
    MissingExtraError
        If Pillow is not installed.
    """
    pillow, ops = import_extra("PIL.Image", "reading images"), import_extra("PIL.ImageOps", "reading images")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is lower than Pillow's; odd metadata are no harm
            with pillow.open(path, formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    raise LoadError(path, f"{width} x {height} pixels are too many, at most {MOST_PIXELS:,} are read")
                picture.load()
                return ops.exif_transpose(picture) if upright else picture.copy()
    except LoadError:
        raise
    except pillow.DecompressionBombError:
        raise LoadError(path, f"too many pixels, at most {MOST_PIXELS:,} are read") from None
    except pillow.UnidentifiedImageError:
        raise LoadError(path, f"not an image of a known kind ({', '.join(FORMATS)})") from None
    except Exception as error:  # whatever a decoder raises: OSError, SyntaxError, struct.error, ...
        reason = getattr(error, "strerror", None)
        raise LoadError(path, f"cannot be read: {reason}" if reason else f"damaged: {error}") from error


def picture_of(image: NDArray[Any]) -> Any:
    """Return bytes (H, W) or (C, H, W), with C 1 or 3, as a Pillow image.

    Raises
    ------
    DTypeError, ShapeError
        If it is none such.

    Examples
    --------
    >>> picture_of(np.zeros((3, 20, 30), np.uint8)).size
    (30, 20)
    """
    if image.dtype != np.uint8:
        raise DTypeError(f"an image must be uint8 in 0 .. 255, got {image.dtype}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[0] not in (1, 3)):
        raise ShapeError(f"an image must have shape (H, W) or (1 or 3, H, W), got {image.shape}")
    rows = image if image.ndim == 2 else image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    return import_extra("PIL.Image", "pictures").fromarray(np.ascontiguousarray(rows))


def frames(path: str | Path) -> int:
    """Count the pictures in a file that ``open_picture`` can read: 1, unless it is animated or has pages."""
    with import_extra("PIL.Image", "reading images").open(path, formats=FORMATS) as picture:
        return getattr(picture, "n_frames", 1)


def read_photo(path: str | Path, *, upright: bool = True) -> Any:
    """Read a photo as eight bits of red, green and blue.

    Grey becomes three equal channels, 16 bits are scaled and not cut off, transparent parts are white paper, CMYK and
    palettes are converted.

    Parameters
    ----------
    path : path
        As in ``open_picture``.
    upright : bool
        Turn it as its camera says; accuracies that others publish were measured without.

    Returns
    -------
    PIL.Image.Image
        In mode RGB.

    Raises
    ------
    LoadError
        If the file is missing, no such picture, damaged, or too large.
    MissingExtraError
        If Pillow is not installed.

    Examples
    --------
    >>> import PIL.Image, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.fromarray(np.full((2, 3), 40_000, np.uint16)).save(f"{folder}/deep.png")
    ...     photo = read_photo(f"{folder}/deep.png")
    >>> photo.mode, photo.size, photo.getpixel((0, 0))
    ('RGB', (3, 2), (156, 156, 156))
    """
    picture = open_picture(path, upright=upright)
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = import_extra("PIL.Image", "reading images").fromarray(_eight_bits(picture))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        paper = layer.copy()
        paper.paste("white", (0, 0, *layer.size))
        paper.alpha_composite(layer)
        picture = paper
    return picture.convert("RGB")


def _eight_bits(picture: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Scale 16 bits to 8; numbers without a known range from their smallest to their largest."""
    values = np.nan_to_num(np.asarray(picture, np.float64), posinf=0.0, neginf=0.0)
    low, high = (0.0, 65535.0) if picture.mode.startswith("I") else (values.min(), values.max())
    if values.min() < low or values.max() > high:
        low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)
