"""Photos and scans of digits, turned into what the network was trained on.

A picture may be light on dark or dark on light, large, pale, turned by its camera, or half transparent. What comes out
has white ink on a black ground, at the size and place that the training digits have in their field. The steps, in
the order of this file: grey values, ink, the digit's own box, the data set's box.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.data.pictures import open_picture
from minicnn.errors import LoadError, OptionError, import_extra

Grey = NDArray[np.float32]  # (H, W), 0 .. 1

ENOUGH = 512  # pixels along the longer side: the digit will have 20 or 32 of them
LEAST_CONTRAST = 0.08  # of paper and ink, where black and white have 1


@dataclass(frozen=True)
class Place:
    """How a data set places its digits: ``box`` pixels along their longer side, in a field of ``field`` squared.

    In the middle of the field lies the centre of gravity (``by_mass``) or that of the box; ``grain``: pixels of this
    size, squared, were averaged when the set was made.
    """

    field: int
    box: int
    by_mass: bool
    grain: int = 1


PLACES = {"mnist": Place(28, 20, by_mass=True), "digits": Place(32, 32, by_mass=False, grain=4)}


def read_digit(path: str | Path, *, like: str = "mnist") -> NDArray[np.uint8]:
    """Read a picture of one digit as an image like those of a data set.

    The edge of the picture decides what is paper: if it is light, the ink is what is darker, if it is dark, what is
    lighter. Transparent parts are white paper, or black paper if on white nothing could be seen. The ink is cut
    out, scaled and centred as the data set's digits are; specks beside it are left out. A picture with a dark edge
    that has the data set's own size is taken as it is.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM file of at most 50 million pixels; of an animation the first frame.
    like : str
        ``"mnist"`` (28 x 28) or ``"digits"`` (scikit-learn's, enlarged to 32 x 32).

    Returns
    -------
    uint8 array, shape (28, 28) or (32, 32)
        0 is background, 255 is ink.

    Raises
    ------
    LoadError
        If the file is missing, no such image, damaged, too large, or shows no ink.
    OptionError
        If ``like`` names no data set.
    MissingExtraError
        If Pillow is not installed.

    Examples
    --------
    >>> import PIL.Image, tempfile
    >>> photo = np.full((90, 60), 210, np.uint8)
    >>> photo[20:70, 28:33] = 40                     # a stroke of ink on light paper
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.fromarray(photo).save(f"{folder}/one.png")
    ...     digit = read_digit(f"{folder}/one.png")
    >>> digit.shape, digit[0, 0], digit[14, 14]
    ((28, 28), np.uint8(0), np.uint8(255))
    """
    if like not in PLACES:
        raise OptionError(f"read_digit: like must be one of {', '.join(map(repr, PLACES))}, got {like!r}")
    place = PLACES[like]
    grey = _grey(open_picture(path))
    if grey.shape == (place.field, place.field) and np.median(_edge(grey)) < 0.25:
        return np.rint(255 * grey).astype(np.uint8)
    return _put(_cut_out(_ink(path, grey)), place)


def _grey(picture: Any) -> Grey:
    """Return the grey values, 1 is white; at most ENOUGH pixels along the longer side."""
    if picture.mode == "F" or picture.mode.startswith("I"):  # 16 bits and more, of which convert("L") cuts off the rest
        values = np.nan_to_num(np.asarray(picture, np.float32), posinf=0.0, neginf=0.0)
        values = values - min(values.min(), 0)
        return _shrunk(np.asarray(values / max(values.max(), 1e-30), np.float32))
    if not picture.has_transparency_data:
        return _shrunk(np.asarray(picture.convert("L"), np.float32) / np.float32(255))
    layer = picture.convert("RGBA")
    for paper in ("white", "black"):
        ground = layer.copy()
        ground.paste(paper, (0, 0, *layer.size))
        ground.alpha_composite(layer)
        grey = _shrunk(np.asarray(ground.convert("L"), np.float32) / np.float32(255))
        if np.ptp(grey) >= LEAST_CONTRAST:
            break
    return grey


def _shrunk(grey: Grey) -> Grey:
    height, width = grey.shape
    scale = ENOUGH / max(height, width)
    return grey if scale >= 1 else _resized(grey, max(1, round(height * scale)), max(1, round(width * scale)))


def _resized(grey: Grey, height: int, width: int, how: str = "BICUBIC") -> Grey:
    pillow = import_extra("PIL.Image", "reading images")
    return np.asarray(pillow.fromarray(grey).resize((width, height), pillow.Resampling[how]))


def _edge(grey: Grey) -> Grey:
    """Return the pixels along the border, a twentieth of the picture deep."""
    deep = max(1, min(grey.shape) // 20)
    inner = np.zeros(grey.shape, bool)
    inner[deep:-deep, deep:-deep] = True
    return grey[~inner]


def _ink(path: str | Path, grey: Grey) -> Grey:
    """Return how much ink is where: 0 on paper, 1 at its strongest."""
    paper = np.median(_edge(grey))
    darker, lighter = paper - grey.min(), grey.max() - paper
    strongest = max(darker, lighter)
    if strongest < LEAST_CONTRAST:
        raise LoadError(path, f"shows no ink: its brightest and darkest parts differ by {100 * np.ptp(grey):.0f} %")
    ink = (paper - grey if darker > lighter else grey - paper) / strongest
    return np.asarray(np.clip(ink, 0, 1), np.float32)


def _cut_out(ink: Grey) -> Grey:
    """Return the part of the picture that the digit fills, without specks of dirt."""
    from scipy import ndimage

    parts, count = ndimage.label(ink > 0.5, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    rows, columns = np.nonzero((sizes >= sizes.max() / 10)[parts])
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _put(digit: Grey, place: Place) -> NDArray[np.uint8]:
    """Scale the digit and lay it into the field."""
    scale = place.box / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    digit = np.clip(_resized(digit, height, width), 0, 1)
    field = np.zeros((place.field, place.field), np.float32)
    centre = ((height - 1) / 2, (width - 1) / 2)
    middle = (place.field - 1) / 2
    if place.by_mass:
        centre = tuple(np.average(np.indices(digit.shape)[axis], weights=digit) for axis in (0, 1))
        middle = place.field / 2  # of 28 pixels, 0 .. 27, MNIST's middle is 14
    top, left = (
        int(np.clip(round(middle - at), 0, place.field - side)) for at, side in zip(centre, digit.shape, strict=True)
    )
    field[top : top + height, left : left + width] = digit / digit.max()
    if place.grain > 1:
        coarse = _resized(field, place.field // place.grain, place.field // place.grain, "BOX")
        field = np.clip(_resized(coarse / coarse.max(), place.field, place.field), 0, 1)
    return np.rint(255 * field).astype(np.uint8)
