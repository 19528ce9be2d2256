"""Pictures of a run: how loss and errors went, which classes are mistaken, how far its confidence can be trusted.

Matplotlib (from ``minicnn[all]``) draws into files, without a screen and without touching the caller's own
figures or settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.autograd import Array
from minicnn.errors import OptionError, SaveError, ShapeError, import_extra
from minicnn.train.evaluation import check_answers
from minicnn.train.history import Row

# Okabe and Ito's colours, which colour-blind readers can tell apart too.
BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00")
PALE, GREY = "#E5E5E5", "#8A8A8A"
ENDINGS = (".png", ".jpg", ".svg", ".pdf")
LONGEST = 22  # characters of a line in a picture
NAMED = 50  # classes of a confusion matrix whose names and counts can be read


def figure(width: float, height: float) -> Any:
    """Make an empty figure, so many inches wide and high."""
    kind = import_extra("matplotlib.figure", "a picture").Figure
    return kind(figsize=(width, height), dpi=130, layout="constrained")


def check_ending(path: str | Path) -> None:
    """Refuse what is no name of a picture, before any work is done.

    Raises
    ------
    OptionError
        If the path does not end in one of ``ENDINGS``.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        raise OptionError(f"a picture's path must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, got {str(path)!r}")


def save(drawn: Any, path: str | Path) -> None:
    """Write a figure into a file, in the format that its ending says.

    Raises
    ------
    OptionError
        If the ending is unknown.
    SaveError
        If the file cannot be written.
    """
    check_ending(path)
    try:
        drawn.savefig(path)
    except OSError as error:
        raise SaveError(f"{path}: cannot be written: {error.strerror or error}") from error


def tidy(axes: Any) -> None:
    """Put a pale grid behind what is drawn, and leave out the frame's upper and right side."""
    axes.grid(True, color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def short(line: str) -> str:
    """Cut a long line in its middle."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2 - 1]}…{line[-LONGEST // 2 :]}"


def draw_curves(history: Iterable[Row], path: str | Path, *, title: str = "") -> None:
    """Draw loss and errors over the epochs, of training and validation, into a file.

    The scale is logarithmic: from 2 % errors to 1 % is as far as from 20 % to 10 %.

    Parameters
    ----------
    history : History, or other iterable of Row
    path : str or Path
        The file to write: .png, .jpg, .svg or .pdf.
    title : str
        Stands above the picture.

    Raises
    ------
    OptionError
        If the file's ending is unknown.
    MissingExtraError
        If matplotlib is not installed.
    SaveError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> rows = [Row(1, 2.1, 0.5, 1.8, 0.6, 0.1, 3.0), Row(2, 0.6, 0.8, 0.4, 0.9, 0.1, 3.0)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_curves(rows, f"{folder}/curves.png", title="lenet5")
    ...     os.listdir(folder)
    ['curves.png']
    """
    rows = list(history)
    sheet = figure(9, 3.8)
    columns: dict[str, list[tuple[float | None, float | None]]] = {
        "loss": [(row.train_loss, row.validation_loss) for row in rows],
        "errors (%)": [(_errors(row.train_accuracy), _errors(row.validation_accuracy)) for row in rows],
    }
    for axes, (label, values) in zip(sheet.subplots(1, 2), columns.items(), strict=True):
        drawn: list[float] = []
        for column, name, colour, marker in ((0, "training", BLUE, "o"), (1, "validation", ORANGE, "s")):
            points = [(row.epoch, pair[column]) for row, pair in zip(rows, values, strict=True)]
            known = [(epoch, value) for epoch, value in points if value is not None]
            if known:
                axes.plot(
                    *zip(*known, strict=True), color=colour, marker=marker, markersize=3.5, linewidth=1.6, label=name
                )
                drawn += [value for _, value in known]
        _logarithmic(axes, drawn)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        first, last = (rows[0].epoch, rows[-1].epoch) if rows else (0, 1)
        axes.set_xlim(first - 0.5, last + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        tidy(axes)
        if drawn:
            axes.legend(frameon=False)
    sheet.suptitle(title, fontsize=11)
    save(sheet, path)


def _errors(accuracy: float | None) -> float | None:
    return None if accuracy is None else 100 * (1 - accuracy)


def _logarithmic(axes: Any, values: Sequence[float]) -> None:
    """Put the values on a logarithmic scale with plain numbers at its ticks; below it, a little room for zero."""
    positive = [value for value in values if value > 0]
    if not positive:
        return
    low, high = min(positive), max(positive)
    steps = (1, 2, 5) if high / low < 100 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    bottom = max([tick for tick in ticks if tick <= low / 1.02], default=low / 2)
    top = min([tick for tick in ticks if tick >= high * 1.02], default=high * 2)
    ticks = [tick for tick in ticks if bottom <= tick <= top]
    if len(positive) < len(values):
        axes.set_yscale("symlog", linthresh=bottom, linscale=0.25)
        bottom, ticks = -0.3 * bottom, [0.0, *ticks]
    else:
        axes.set_yscale("log")
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)


def draw_confusion(matrix: ArrayLike, names: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Draw a confusion matrix into a file: rows are the true classes, columns the answers.

    Right answers (the diagonal) are blue, mistakes orange; the shade is the share of the true class, on a
    square-root scale, so that a single mistake among fifty can be seen. Of more than 50 classes only the shades are
    drawn, by number.

    Parameters
    ----------
    matrix : array_like of int, shape (C, C)
        As ``minicnn.train.confusion_matrix`` counts it.
    names : sequence of str
        The classes' names.
    path : str or Path
        The file to write: .png, .jpg, .svg or .pdf.
    title : str
        Stands above the picture; how many are wrong by default.

    Raises
    ------
    ShapeError
        If the matrix is not (C, C) for C names.
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
    ...     draw_confusion([[9, 1], [0, 8]], ["cat", "dog"], f"{folder}/confusion.png")
    ...     os.listdir(folder)
    ['confusion.png']
    """
    counts = np.asarray(matrix)
    size = len(names)
    if counts.shape != (size, size):
        raise ShapeError(f"draw_confusion: matrix must be (C, C) for {size} names, got {counts.shape}")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = min(size, NAMED)
    drawn = figure(max(4.2, 0.46 * cells + 1.4), max(3.9, 0.46 * cells + 1.1))
    rgb = import_extra("matplotlib.colors", "a picture").to_rgb
    right, wrong, white = (np.array(rgb(colour)) for colour in (BLUE, ORANGE, "white"))
    tint = np.where(np.eye(size, dtype=bool)[..., None], right, wrong)
    strength = np.sqrt(shares)[..., None]
    axes = drawn.subplots()
    axes.imshow(white + (tint - white) * strength, aspect="equal")
    if size <= NAMED:
        _name_cells(axes, counts, strength[..., 0], names)
    axes.set_xlabel("answer of the network")
    axes.set_ylabel("true class")
    axes.spines[:].set_color(GREY)
    errors = int(counts.sum() - np.trace(counts))
    axes.set_title(title or f"{errors} of {int(counts.sum())} wrong", fontsize=10)
    save(drawn, path)


def _name_cells(axes: Any, counts: Array, strength: Array, names: Sequence[str]) -> None:
    """Write names and counts on a confusion matrix, and draw lines between its cells."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if strength[row, column] > 0.6 else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8)
    aslant = {"rotation": 45, "ha": "right"} if max(map(len, names), default=0) > 2 else {}
    axes.set_xticks(range(len(names)), names, **aslant)
    axes.set_yticks(range(len(names)), names)
    edges = np.arange(len(names) + 1) - 0.5
    axes.tick_params(length=0)
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color=PALE, linewidth=0.8)
    axes.tick_params(which="minor", length=0)


def draw_reliability(bins: Sequence[Any], path: str | Path, *, title: str = "") -> None:
    """Draw accuracy over confidence into a file: on the diagonal a network is as good as it says.

    Parameters
    ----------
    bins : sequence of Bin
        As ``minicnn.train.evaluation.measure`` finds them.
    path : str or Path
        The file to write: .png, .jpg, .svg or .pdf.
    title : str
        Stands above the picture.

    Raises
    ------
    OptionError
        If the file's ending is unknown.
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


def draw_roc(labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str], path: str | Path) -> None:
    """Draw the ROC curve of each class against the rest into a file.

    A point for each threshold of the class's probability (Fawcett 2006, "An introduction to ROC analysis", section 4).
    Of two classes the second is drawn: the other's curve says the same. Of many, the five with the smallest areas are
    named, the rest stays pale. A class that no image has, or every image, has no curve.

    Parameters
    ----------
    labels : array of int, shape (N,)
        The true classes.
    probabilities : array, shape (N, classes)
        What the network says.
    names : sequence of str
        Of the classes.
    path : str or Path
        The file to write: .png, .jpg, .svg or .pdf.

    Raises
    ------
    ShapeError, LabelError, NotFiniteError
        If labels, probabilities and names do not fit each other, or a probability is not finite.
    OptionError
        If the file's ending is unknown, or a row of probabilities does not sum to 1.
    MissingExtraError
        If matplotlib or scikit-learn is not installed.
    SaveError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_roc([0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], ("ant", "bee"), f"{folder}/roc.png")
    ...     os.listdir(folder)
    ['roc.png']
    """
    metrics = import_extra("sklearn.metrics", "ROC curves")
    truth, scores = np.asarray(labels), np.asarray(probabilities, np.float64)
    check_answers("draw_roc", truth, scores, names)
    there = np.bincount(truth, minlength=len(names))
    shown = [place for place in range(len(names))[len(names) == 2 :] if 0 < there[place] < len(truth)]
    curves = [metrics.roc_curve(truth == place, scores[:, place])[:2] for place in shown]
    areas = [metrics.auc(*curve) for curve in curves]
    drawn = figure(5.2, 4.6)
    axes = drawn.subplots()
    axes.plot((0, 1), (0, 1), color=GREY, linewidth=1, linestyle="--")
    order = np.argsort(areas, kind="stable")
    for index in order[len(COLOURS) :]:
        axes.plot(*curves[index], color=PALE, linewidth=1)
    for index, colour in zip(order, COLOURS, strict=False):
        axes.plot(*curves[index], color=colour, label=f"{short(names[shown[index]])}  {areas[index]:.3f}")
    axes.set(
        xlabel="others taken for the class (false positive rate)", ylabel="found of the class (true positive rate)"
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    tidy(axes)
    if shown:
        axes.legend(frameon=False, loc="lower right", title="area under the curve")
    else:
        axes.set_title("all images are of one class: no curves", fontsize=11)
    save(drawn, path)
