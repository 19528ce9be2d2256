"""Sheets of images with captions: a network's worst mistakes, what augmentations do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.pictures import picture_of
from minicnn.errors import ShapeError
from minicnn.inspect.pictures import figure, save, short

COLUMNS = 6  # of a sheet
WIDTH, LINE, MARGIN = 1.9, 0.13, 0.14  # inches: of an image, of a line of its caption, around that


def draw_sheet(
    images: Sequence[Any], captions: Sequence[str], path: str | Path, *, title: str = "", empty: str = ""
) -> None:
    """Draw images with captions side by side into a file, six in a row.

    Parameters
    ----------
    images : sequence of uint8 arrays, shape (H, W), (1, H, W) or (3, H, W)
        Of any size.
    captions : sequence of str
        One for each, of one or two lines; long ones are cut in their middle.
    path : str or Path
        The file to write: .png, .jpg, .svg or .pdf.
    title : str
        Stands above all.
    empty : str
        What is written if there are no images.

    Raises
    ------
    ShapeError
        If the captions are not one per image.
    OptionError
        If the file's ending is unknown.
    MissingExtraError
        If matplotlib is not installed.
    SaveError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_sheet([np.zeros((3, 20, 30), np.uint8)], ["ant"], f"{folder}/sheet.png")
    ...     os.listdir(folder)
    ['sheet.png']
    """
    if len(images) != len(captions):
        raise ShapeError(f"draw_sheet: captions must be one per image, got {len(captions)} for {len(images)}")
    columns = min(max(len(images), 2), COLUMNS)
    shown = [_smaller(image) for image in images]
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)] or [[]]
    text = MARGIN + LINE * max((len(caption.splitlines()) for caption in captions), default=1)
    heights = [
        text + WIDTH * max((min(len(image) / image.shape[1], 1.0) for image in row), default=1.0) for row in rows
    ]
    drawn = figure(WIDTH * columns, sum(heights) + (0.35 if title else 0))
    for place, axes in enumerate(np.ravel(drawn.subplots(len(rows), columns, squeeze=False, height_ratios=heights))):
        axes.set_axis_off()
        if place < len(images):
            axes.imshow(shown[place], cmap="gray", vmin=0, vmax=255)
            axes.set_title("\n".join(map(short, captions[place].splitlines())), fontsize=7.5)
    if title or not images:
        drawn.suptitle(title if images else empty, fontsize=11)
    save(drawn, path)


def _smaller(image: Any) -> Any:
    """Shrink an image to what can be seen on a sheet: matplotlib is slow with large ones."""
    picture = picture_of(np.asarray(image))
    picture.thumbnail((320, 320))
    return np.asarray(picture)
