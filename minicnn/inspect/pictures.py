"""Pictures of a training run: how loss and accuracy went, and which classes are taken for which.

Matplotlib (from ``minicnn[all]``) draws into files, without a screen and without touching the caller's own
figures or settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.errors import MissingExtraError, ShapeError

# Okabe and Ito's colours, which colour-blind readers can tell apart too.
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#8A8A8A"


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("pictures need matplotlib: pip install 'minicnn[all]'") from None
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curves(history: Sequence[Mapping[str, float]], path: str | Path, *, title: str = "") -> None:
    """Draw loss and error rate over the epochs, training part and test part, into a PNG file.

    Parameters
    ----------
    history : sequence of mappings
        One for each epoch: ``epoch``, and any of ``loss``, ``accuracy``, ``test_loss``, ``test_accuracy``.
    path : str or Path
        The file to write.
    title : str
        Stands above the picture.

    Examples
    --------
    >>> import os, tempfile
    >>> rows = [{"epoch": 1, "loss": 2.1, "test_accuracy": 0.6}, {"epoch": 2, "loss": 0.4, "test_accuracy": 0.9}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     draw_curves(rows, f"{folder}/curves.png", title="lenet5")
    ...     os.listdir(folder)
    ['curves.png']
    """
    figure = _figure(9, 3.8)
    parts = (("training", "", _BLUE, "o"), ("test", "test_", _ORANGE, "s"))
    # Error rates on a logarithmic scale: from 98 % to 99 % accuracy is as far as from 80 % to 90 %.
    for axes, key, label in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("loss", "errors (%)"), strict=True):
        lowest = np.inf
        for name, prefix, colour, marker in parts:
            known = [(row["epoch"], row[prefix + key]) for row in history if row.get(prefix + key) is not None]
            if not known:
                continue
            epochs, values = np.array(known, dtype=float).T
            values = 100 * (1 - values) if key == "accuracy" else values
            lowest = min(lowest, values[values > 0].min(initial=np.inf))
            axes.plot(epochs, values, color=colour, marker=marker, markersize=3.5, linewidth=1.6, label=name)
        if np.isfinite(lowest):
            # Zero errors have no place on a logarithmic scale: below the lowest value it goes on linearly.
            axes.set_yscale("symlog", linthresh=lowest, linscale=0.4)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(_plain_numbers())
            axes.legend(frameon=False)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(True, color="#E5E5E5", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11)
    figure.savefig(path)


def _plain_numbers() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:g}")


def confusion_matrix(labels: Any, predicted: Any, classes: int) -> NDArray[np.int64]:
    """Count how often each class (row) was taken for each class (column).

    Examples
    --------
    >>> confusion_matrix([0, 1, 1, 2], [0, 1, 2, 2], 3)
    array([[1, 0, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """
    rows, columns = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ShapeError(
            f"confusion_matrix: labels and predicted must have one shape (N,), got {rows.shape} and {columns.shape}"
        )
    counts = np.bincount(rows * classes + columns, minlength=classes * classes)
    return counts.reshape(classes, classes)


def draw_confusion(matrix: Any, names: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Draw a confusion matrix into a PNG file: rows are the true classes, columns the answers.

    Right answers (the diagonal) are blue, mistakes orange; the shade is the share of the true class, on a
    square-root scale, so that a single mistake among fifty can be seen.

    Parameters
    ----------
    matrix : array_like of int, shape (C, C)
    names : sequence of str
        The classes' names.
    path : str or Path
        The file to write.
    title : str
        Stands above the picture.

    Raises
    ------
    ShapeError
        If the matrix is not (C, C) for C names.

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
    figure = _figure(max(4.2, 0.46 * size + 1.4), max(3.9, 0.46 * size + 1.1))
    from matplotlib.colors import to_rgb

    right, wrong, white = (np.array(to_rgb(colour)) for colour in (_BLUE, _ORANGE, "white"))
    tint = np.where(np.eye(size, dtype=bool)[..., None], right, wrong)
    strength = np.sqrt(shares)[..., None]
    axes = figure.subplots()
    axes.imshow(white + (tint - white) * strength, aspect="equal")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if strength[row, column, 0] > 0.6 else "black"
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=colour, fontsize=8)
    longest = max(map(len, names), default=0)
    axes.set_xticks(range(size), names, rotation=45 if longest > 2 else 0, ha="right" if longest > 2 else "center")
    axes.set_yticks(range(size), names)
    axes.set_xlabel("answer of the network")
    axes.set_ylabel("true class")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#E5E5E5", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_color(_GREY)
    errors = int(counts.sum() - np.trace(counts))
    axes.set_title(title or f"{errors} of {int(counts.sum())} wrong", fontsize=10)
    figure.savefig(path)
