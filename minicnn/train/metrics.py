"""How good the answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.autograd import Array
from minicnn.errors import OptionError, ShapeError, import_extra


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of right answers (NaN if there are none at all).

    Examples
    --------
    >>> accuracy([7, 2, 1, 0], [7, 2, 1, 6])
    0.75
    """
    right, given = np.asarray(labels), np.asarray(predicted)
    if right.shape != given.shape:
        raise ShapeError(f"accuracy: labels and predicted must have one shape, got {right.shape} and {given.shape}")
    return float(np.mean(right == given)) if right.size else float("nan")


def top_k_accuracy(labels: ArrayLike, scores: ArrayLike, k: int = 5) -> float:
    """Return the share of images whose class is among the ``k`` of the highest scores.

    Parameters
    ----------
    labels : array of integers, shape (N,)
    scores : array, shape (N, classes)
        Logits or probabilities. Of equal scores, that of the lower class counts as higher, as in ``argmax``.
    k : int

    Examples
    --------
    >>> top_k_accuracy([2, 0], [[0.1, 0.5, 0.4], [0.2, 0.5, 0.3]], k=2)
    0.5
    """
    right, table = np.asarray(labels), np.asarray(scores)
    if table.ndim != 2 or right.shape != table.shape[:1]:
        raise ShapeError(
            f"top_k_accuracy: scores must be (N, classes) for labels (N,), got {table.shape}, {right.shape}"
        )
    if not 1 <= k <= table.shape[1]:
        raise OptionError(f"top_k_accuracy: k must lie in 1 .. {table.shape[1]}, got {k}")
    best = np.argsort(-table, axis=1, kind="stable")[:, :k]
    return float(np.mean((best == right[:, None]).any(axis=1))) if right.size else float("nan")


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """Count by true class (row) and answer (column).

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 1, 0], classes=2)
    array([[1, 0],
           [1, 1]])
    """
    pairs = np.asarray(labels) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class_table(labels: ArrayLike, predicted: ArrayLike, names: Sequence[Any] | None = None) -> str:
    """Return precision, recall and F1 of each class as a table, by scikit-learn.

    Precision is the share of right ones among the answers "this class", recall the share of this class's
    images that were found, F1 their harmonic mean, support the number of images.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    >>> print(per_class_table([0, 1, 1], [0, 1, 0]))  # doctest: +NORMALIZE_WHITESPACE
                  precision    recall  f1-score   support
    <BLANKLINE>
               0     0.5000    1.0000    0.6667         1
               1     1.0000    0.5000    0.6667         2
    <BLANKLINE>
        accuracy                         0.6667         3
       macro avg     0.7500    0.7500    0.6667         3
    weighted avg     0.8333    0.6667    0.6667         3
    <BLANKLINE>
    """
    report = import_extra("sklearn.metrics", "the table of classes").classification_report
    numbers = None if names is None else range(len(names))
    titles = None if names is None else [str(name) for name in names]
    return str(report(labels, predicted, labels=numbers, target_names=titles, digits=4, zero_division=0))
