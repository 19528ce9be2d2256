"""Cross entropy of scores against class indices or probabilities."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from minicnn.autograd import FLOATS, Array, Tensor, record
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.functional.reduction import NAMES, reduced
from minicnn.kernels import twin

_IGNORE_INDEX = -100
_NOTHING = {dtype: np.empty((1, 0, 1), dtype) for dtype in FLOATS}


def cross_entropy(
    input: Input,
    target: Input,
    weight: Input | None = None,
    *,
    ignore_index: int = _IGNORE_INDEX,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return minus the logarithm of the probability that the scores give to the right class.

    Parameters
    ----------
    input : Tensor or array, shape (N, C) or (N, C, d1, ...)
        Scores; log_softmax is part of this op.
    target : Tensor or array
        Class indices of any integer dtype, shape (N,) or (N, d1, ...); or probabilities in the input's dtype and shape.
        It gets no gradient.
    weight : Tensor or array, shape (C,), optional
        How much each class counts. It gets no gradient.
    ignore_index : int
        Places with this class index do not count.
    reduction : "mean", "sum" or "none"
        The mean is over the places that count, each weighted by its class (for probabilities: over all places).
        If nothing counts, it is NaN.
    label_smoothing : float in 0 .. 1
        The share of the target that is spread evenly over all classes.

    Returns
    -------
    Tensor, shape () or, without reduction, (N,) or (N, d1, ...)

    Raises
    ------
    LabelError
        If a class index is outside 0 .. C-1 and not ``ignore_index``; the message gives its position.
    ShapeError
        If the shapes do not fit each other.
    DTypeError
        If input, probabilities and weight are not of one floating dtype.
    OptionError
        If an option is out of its range, or ``ignore_index`` is given for probabilities.
    GraphError
        If the target or the weight requires a gradient.

    Notes
    -----
    Label smoothing: Szegedy et al. 2016, "Rethinking the Inception architecture", section 7. All formulas as in
    ``torch.nn.functional.cross_entropy``.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> scores = np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    >>> np.exp(-F.cross_entropy(scores, np.array([0, 2]), reduction="none").numpy())
    array([0.5, 0.8])
    """
    op = "cross_entropy"
    x = check.tensor(op, "input", input)
    if x.ndim < 2 or 0 in x.shape[1:]:
        raise ShapeError(f"{op}: input must be (N, C) or (N, C, d1, ...), all but N >= 1, got shape {x.shape}")
    check.choice(op, "reduction", reduction, NAMES)
    smoothing = check.number(op, "label_smoothing", label_smoothing, 0, 1)
    class_weight = None
    if weight is not None:
        w = check.constant(op, "weight", weight)
        check.same_dtype(op, input=x, weight=w)
        check.shape(op, "weight", w, x.shape[1:2], "(C,)")
        class_weight = w.array
    ignored = check.integer(op, "ignore_index", ignore_index, -(2**31))
    *shares, divisor = _shares(op, x, target, class_weight, ignored, smoothing)

    k = twin(op)
    shape = x.shape
    n, places = shape[0], math.prod(shape[2:])
    scores = x.array.reshape(n, shape[1], places)
    losses, kept = k.cross_entropy_forward(scores, *shares)
    if reduction == "none":
        losses = losses.reshape(n, *shape[2:])
    out, spread_out = reduced(losses, reduction, divisor)

    def grad_input(grad_out: Array) -> Array:
        grad_losses = spread_out(grad_out).reshape(n, places)
        grad: Array = k.cross_entropy_grad_input(grad_losses, scores, kept).reshape(shape)
        return grad

    return record(op, out, (x, grad_input))


@lru_cache
def _ones(classes: int, dtype: np.dtype[Any]) -> Array:
    """Return how much each class counts where nothing is said; only to be read."""
    return np.ones(classes, dtype)


def _shares(
    op: str, x: Tensor, target: Any, class_weight: Array | None, ignore_index: int, smoothing: float
) -> tuple[Array, Array, Array, float]:
    """Say how much each class counts at each place, as the kernels want it; and what a mean divides by."""
    n, classes, *rest = x.shape
    places = math.prod(rest)
    if isinstance(target, (Tensor, np.ndarray)) and target.dtype.kind == "f":
        t = check.constant(op, "target", target)
        if t.shape != x.shape:
            raise ShapeError(
                f"{op}: target must be integer class indices or have the input's shape {x.shape}, "
                f"got {t.dtype} of shape {t.shape}"
            )
        check.same_dtype(op, input=x, target=t)
        if ignore_index != _IGNORE_INDEX:
            raise OptionError(f"{op}: ignore_index is for class indices, got {ignore_index} with probabilities")
        probabilities = t.array.reshape(n, classes, places)
        with np.errstate(all="ignore"):
            if smoothing:
                probabilities = probabilities * (1 - smoothing) + smoothing / classes
            if class_weight is not None:
                probabilities = probabilities * class_weight[:, None]
        return np.zeros((n, places), np.int64), np.zeros(classes, x.dtype), probabilities, float(n * places)
    rule = "(N,)" if not rest else "(N, d1, ...)"
    labels = check.labels(op, target, (n, *rest), rule, classes, ignore_index).reshape(n, places)
    if class_weight is None:
        class_weight, divisor = _ones(classes, x.dtype), float(np.count_nonzero(labels >= 0))
    else:
        divisor = float(class_weight[labels[labels >= 0]].sum(dtype=np.float64))
    if not smoothing:
        return labels, class_weight, _NOTHING[x.dtype], divisor
    with np.errstate(all="ignore"):
        return labels, class_weight * (1 - smoothing), (class_weight * (smoothing / classes))[None, :, None], divisor
