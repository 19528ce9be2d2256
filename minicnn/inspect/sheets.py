"""Pictures of a test: how far a network's confidence can be trusted, and its worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ShapeError, import_extra
from minicnn.inspect.pictures import BLUE, GREY, ORANGE, figure, save, tidy

COLUMNS = 6  # of a sheet
LONGEST = 22  # characters of a line under a picture


def draw_reliability(bins: Sequence[Any], path: str | Path, *, title: str = "") -> None:
    """Draw accuracy over confidence into a PNG file: on the diagonal a network is as good as it says.

    Parameters
    ----------
    bins : sequence of Bin
        As ``minicnn.train.evaluation.measure`` finds them.
    path : str or Path
        The file to write.
    title : str
        Stands above the picture.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    SaveError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from minicnn.train.evaluation import Bin
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_reliability([Bin(0.6, 0.5, 10), Bin(0.95, 0.9, 40)], f"{folder}/reliability.png")
    ...     os.listdir(folder)
    ['reliability.png']
    """
    drawn = figure(4.6, 4.6)
    upper, lower = drawn.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    confidence = [bin.confidence for bin in bins]
    upper.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle="--")
    upper.vlines(confidence, confidence, [bin.accuracy for bin in bins], color=ORANGE, linewidth=2, label="gap")
    upper.plot(confidence, [bin.accuracy for bin in bins], "o", color=BLUE, markersize=5, label="accuracy")
    upper.set(ylabel="accuracy", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    upper.legend(frameon=False, loc="upper left")
    lower.bar(confidence, [bin.count for bin in bins], width=0.03, color=BLUE)
    lower.set(xlabel="confidence", ylabel="images")
    for axes in (upper, lower):
        tidy(axes)
    if title:
        drawn.suptitle(title, fontsize=11)
    save(drawn, path)


def draw_sheet(
    images: Sequence[Any], captions: Sequence[str], path: str | Path, *, title: str = "", empty: str = ""
) -> None:
    """Draw images with captions side by side into a PNG file, six in a row.

    Parameters
    ----------
    images : sequence of uint8 arrays, shape (H, W), (1, H, W) or (3, H, W)
        Of any size.
    captions : sequence of str
        One for each, of one or two lines; long ones are cut in their middle.
    path : str or Path
        The file to write.
    title : str
        Stands above all.
    empty : str
        What is written if there are no images.

    Raises
    ------
    ShapeError
        If the captions are not one per image.
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
    rows, columns = max(-(-len(images) // COLUMNS), 1), min(max(len(images), 2), COLUMNS)
    drawn = figure(1.9 * columns, 2.3 * rows + (0.35 if title else 0))
    for place, axes in enumerate(np.ravel(drawn.subplots(rows, columns, squeeze=False))):
        axes.set_axis_off()
        if place < len(images):
            image = np.asarray(images[place])
            image = image if image.ndim == 2 else image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
            axes.imshow(_smaller(image), cmap="gray", vmin=0, vmax=255)
            axes.set_title("\n".join(map(_short, captions[place].splitlines())), fontsize=7.5)
    if title or not images:
        drawn.suptitle(title if images else empty, fontsize=11)
    save(drawn, path)


def _smaller(image: Any) -> Any:
    """Shrink an image to what can be seen on a sheet: matplotlib is slow with large ones."""
    pillow = import_extra("PIL.Image", "a sheet of images")
    picture = pillow.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((320, 320))
    return np.asarray(picture)


def _short(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2 - 1]}…{line[-LONGEST // 2 :]}"
