"""How good a network is, in all the figures that people ask for, with how far each can be trusted.

scikit-learn computes what it has; the calibration error and the bootstrap are a few lines of NumPy each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minicnn.autograd import Array
from minicnn.errors import LabelError, NotFiniteError, OptionError, ShapeError, import_extra
from minicnn.train.metrics import accuracy, confusion_matrix, top_k_accuracy

BINS = 15  # of the reliability diagram, as in Guo et al. 2017
LEAST = 1e-15  # the probability below which the loss does not grow any more


@dataclass(frozen=True)
class Bin:
    """The answers of about one confidence: what was claimed, what was true, and of how many."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with 95 % probability, were other images drawn from the same source."""

    low: float
    high: float


@dataclass(frozen=True)
class Measures:
    """What ``measure`` finds; ``str()`` is a table, ``as_dict()`` what JSON can hold.

    Attributes
    ----------
    names : tuple of str
        Of the classes.
    count : int
        Images.
    loss : float
        Mean of -log(probability of the true class), natural logarithm.
    accuracy, top5 : float
        Share of images whose class has the highest probability, one of the five highest; ``top5`` is None with fewer
        than six classes, where it would say nothing.
    precision, recall, f1 : arrays, shape (classes,)
        Of each class, 0 where there is nothing to divide by. Of a class without images nothing is known: there
        ``as_dict()`` has None, the table a dash, and no mean counts it.
    support : array of int, shape (classes,)
        Images of each class.
    macro, weighted : dict
        Means of ``precision``, ``recall``, ``f1`` over the classes that occur, all alike or by support.
    confusion : array of int, shape (classes, classes)
        Images by true class (row) and answer (column).
    roc_auc : float or None
        Area under the ROC curve: of two classes that of the second, else the mean of each class against the rest. None
        if a class does not occur.
    ece : float
        Expected calibration error: mean distance between confidence and accuracy in 15 bins of confidence, each as
        heavy as it has images (Guo et al. 2017, "On calibration of modern neural networks", equation 3).
    bins : tuple of Bin
        These bins, without empty ones.
    accuracy_interval, f1_interval : Interval
        95 % intervals of the accuracy and the macro F1, by percentile bootstrap (Efron and Tibshirani 1993, chapter
        13).
    """

    names: tuple[str, ...]
    count: int
    loss: float
    accuracy: float
    top5: float | None
    precision: Array
    recall: Array
    f1: Array
    support: Array
    macro: dict[str, float]
    weighted: dict[str, float]
    confusion: Array
    roc_auc: float | None
    ece: float
    bins: tuple[Bin, ...]
    accuracy_interval: Interval
    f1_interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON knows it."""
        return {
            "count": self.count,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "accuracy_interval": [self.accuracy_interval.low, self.accuracy_interval.high],
            "top5": self.top5,
            "classes": dict(self._rows()),
            "macro": self.macro,
            "macro_f1_interval": [self.f1_interval.low, self.f1_interval.high],
            "weighted": self.weighted,
            "confusion": self.confusion.tolist(),
            "roc_auc": self.roc_auc,
            "ece": self.ece,
            "bins": [[bin.confidence, bin.accuracy, bin.count] for bin in self.bins],
        }

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the figures of each class; where it has no images, nothing is known."""
        columns = (column.tolist() for column in (self.precision, self.recall, self.f1, self.support))
        for name, p, r, f, n in zip(self.names, *columns, strict=True):
            p, r, f = (p, r, f) if n else (None, None, None)
            yield name, {"precision": p, "recall": r, "f1": f, "support": n}

    def __str__(self) -> str:
        means = {"mean": self.macro, "weighted": self.weighted}
        rows = [*self._rows(), *((name, {**row, "support": self.count}) for name, row in means.items())]
        lines = class_table(rows)
        of_accuracy, of_f1 = (
            f"(95 %: {100 * at.low:.1f} .. {100 * at.high:.1f})" for at in (self.accuracy_interval, self.f1_interval)
        )
        lines += ["", f"accuracy  {100 * self.accuracy:6.2f} %  {of_accuracy}"]
        lines += [f"top 5     {100 * self.top5:6.2f} %"] if self.top5 is not None else []
        lines += [f"macro F1  {100 * self.macro['f1']:6.2f} %  {of_f1}"]
        lines += [f"ROC AUC   {self.roc_auc:8.4f}"] if self.roc_auc is not None else []
        lines += [f"loss      {self.loss:8.4f}", f"ECE       {100 * self.ece:6.2f} %"]
        return "\n".join(lines)


def class_table(rows: Iterable[tuple[str, Mapping[str, Any]]], title: str = "", width: int = 12) -> list[str]:
    """Write figures by class, as ``Measures.as_dict()["classes"]`` has them: a line for each, under a line of heads.

    The names' column is as wide as the longest, but at least ``width``.

    Examples
    --------
    >>> print(*class_table([("ant", {"precision": 0.5, "recall": None, "f1": None, "support": 0})]), sep="\\n")
                  precision  recall      F1  images
    ant               0.500       -       -       0
    """
    rows = list(rows)
    width = max([width, *(len(name) for name, _ in rows)])
    lines = [f"{title:{width}}  precision  recall      F1  images"]
    for name, row in rows:
        figures = ("-" if row[key] is None else f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        lines.append("{:{width}}  {:>9s}  {:>6s}  {:>6s}  {:6d}".format(name, *figures, row["support"], width=width))
    return lines


def measure(
    labels: ArrayLike, probabilities: ArrayLike, names: Sequence[str] | None = None, *, bootstrap: int = 1000, seed:
    int = 0
) -> Measures:  # fmt: skip
    """Compare a network's answers with the truth.

    Parameters
    ----------
    labels : array of int, shape (N,)
        The true classes.
    probabilities : array, shape (N, classes)
        What the network says; rows sum to 1.
    names : sequence of str, optional
        Of the classes; by default their numbers.
    bootstrap : int
        How many samples of N images are drawn for the intervals.
    seed : int
        Of these draws.

    Returns
    -------
    Measures

    Raises
    ------
    OptionError
        If there are no images, or a row of probabilities does not sum to 1.
    ShapeError
        If the shapes do not fit each other.
    LabelError
        If a label is outside 0 .. classes - 1.
    NotFiniteError
        If a probability is NaN or infinite.
    MissingExtraError
        If scikit-learn is not installed.

    Examples
    --------
    >>> found = measure([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]], ["ant", "bee"])
    >>> found.accuracy, found.recall, found.confusion.tolist()
    (0.75, array([0.5, 1. ]), [[1, 1], [0, 2]])
    >>> round(found.ece, 3), found.roc_auc
    (0.3, 1.0)
    """
    y, chances = np.asarray(labels), np.asarray(probabilities, np.float64)
    check_answers("measure", y, chances, names)
    count, classes = chances.shape
    called = tuple(map(str, range(classes) if names is None else names))
    metrics = import_extra("sklearn.metrics", "measuring a network")
    answers = chances.argmax(axis=1)
    confusion = confusion_matrix(y, answers, classes)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y, answers, labels=range(classes), zero_division=0
    )
    support = confusion.sum(axis=1)
    there = support > 0
    columns = {"precision": precision, "recall": recall, "f1": f1}
    right = answers == y
    bins, intervals = _bins(chances.max(axis=1), right), _bootstrap(confusion, bootstrap, seed)
    return Measures(
        names=called,
        count=count,
        loss=float(-np.log(np.maximum(chances[np.arange(count), y], LEAST)).mean()),
        accuracy=accuracy(y, answers),
        top5=top_k_accuracy(y, chances, 5) if classes > 5 else None,
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        macro={name: float(column[there].mean()) for name, column in columns.items()},
        weighted={name: float(np.average(column, weights=support)) for name, column in columns.items()},
        confusion=confusion,
        roc_auc=_roc_auc(metrics, y, chances) if there.all() and classes > 1 else None,
        ece=sum(bin.count / count * abs(bin.accuracy - bin.confidence) for bin in bins),
        bins=bins,
        accuracy_interval=intervals[0],
        f1_interval=intervals[1],
    )


def check_answers(op: str, labels: Array, chances: Array, names: Sequence[str] | None) -> None:
    """Refuse probabilities that are none, labels that they do not know, and names that are not one per class.

    Raises
    ------
    ShapeError, OptionError, LabelError, NotFiniteError
    """
    if chances.ndim != 2 or labels.shape != chances.shape[:1]:
        raise ShapeError(
            f"{op}: probabilities must be (N, classes) for labels (N,), got {chances.shape}, {labels.shape}"
        )
    if names is not None and len(names) != chances.shape[1]:
        raise ShapeError(f"{op}: names must be one per class, got {len(names)} for {chances.shape[1]} classes")
    if chances.size == 0:
        raise OptionError(f"{op}: there must be at least one image and one class, got {chances.shape}")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= chances.shape[1]:
        raise LabelError(
            f"{op}: labels must be integers in 0 .. {chances.shape[1] - 1}, got {labels.dtype} in "
            f"{labels.min()} .. {labels.max()}"
        )
    if not np.isfinite(chances).all():
        raise NotFiniteError(f"{op}: probabilities must be finite, {(~np.isfinite(chances)).sum()} are not")
    sums = chances.sum(axis=1)
    if chances.min() < 0 or abs(sums - 1).max() > 1e-3:
        row = int(abs(sums - 1).argmax())
        raise OptionError(f"{op}: rows of probabilities must be >= 0 and sum to 1, row {row} sums to {sums[row]:.4g}")


def _bins(confidence: Array, right: Array) -> tuple[Bin, ...]:
    """Sort the answers by confidence into bins of one width."""
    places = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], confidence)  # each open below and closed above
    return tuple(
        Bin(float(confidence[places == place].mean()), float(right[places == place].mean()), int(count))
        for place, count in enumerate(np.bincount(places, minlength=BINS))
        if count
    )


def _roc_auc(metrics: Any, labels: Array, chances: Array) -> float:
    binary = chances.shape[1] == 2
    scores, options = (
        (chances[:, 1], {}) if binary else (chances, {"multi_class": "ovr", "labels": range(chances.shape[1])})
    )
    return float(metrics.roc_auc_score(labels, scores, **options))


def _bootstrap(confusion: Array, draws: int, seed: int) -> tuple[Interval, Interval]:
    """Return 95 % intervals of accuracy and macro F1.

    Both depend on nothing but the counts of the confusion matrix: to draw as many images again is to draw these from a
    multinomial distribution, which takes no longer for a million images.
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise OptionError(f"measure: bootstrap must be an integer >= 1, got {draws!r}")
    rng = np.random.default_rng(seed)
    truth, answer = np.nonzero(confusion)
    counts, hit = confusion[truth, answer], truth == answer
    total, classes = counts.sum(), len(confusion)
    values = np.empty((draws, 2))
    for row in values:
        drawn = rng.multinomial(total, counts / total)
        right = np.bincount(truth[hit], drawn[hit], classes)
        images, answers = np.bincount(truth, drawn, classes), np.bincount(answer, drawn, classes)
        there = images > 0
        row[:] = right.sum() / total, np.mean(2 * right[there] / (images + answers)[there])
    (low, high), (low_f1, high_f1) = np.percentile(values, (2.5, 97.5), axis=0).T
    return Interval(float(low), float(high)), Interval(float(low_f1), float(high_f1))
