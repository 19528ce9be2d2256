"""Dropout of single elements and of whole channels."""

from __future__ import annotations

from minicnn import random
from minicnn.autograd import Tensor, record
from minicnn.errors import OptionError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def dropout(
    input: Input, p: float = 0.5, training: bool = True, *, seed: int | None = None, step: int | None = None
) -> Tensor:
    """Set each element to 0 with probability ``p`` and scale the others by ``1 / (1 - p)``.

    Parameters
    ----------
    input : Tensor or array, any shape
    p : float in 0 .. 1
        With 1 everything is dropped.
    training : bool
        If not, the input is returned as it is.
    seed, step : int, optional
        Element i is dropped or not by a number computed from (seed, step, i) alone: not by the dtype, the number of
        threads, or what was drawn before. Without them ``minicnn.random`` gives the seed and counts the step.

    Returns
    -------
    Tensor, the input's shape
        A dropped NaN is 0.

    Raises
    ------
    OptionError
        If ``p`` is outside 0 .. 1 or NaN, or only one of ``seed`` and ``step`` is given.
    DTypeError
        If the input is not float32 or float64.

    Notes
    -----
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", in the inverted
    form: scaling in training instead of inference.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.dropout(np.ones(6), 0.5, seed=7, step=0).numpy()
    array([2., 0., 2., 0., 2., 2.])
    """
    return _dropout("dropout", check.tensor("dropout", "input", input), 1, p, training, seed, step)


def dropout2d(
    input: Input, p: float = 0.5, training: bool = True, *, seed: int | None = None, step: int | None = None
) -> Tensor:
    """Set each channel of each image to 0 with probability ``p`` and scale the others by ``1 / (1 - p)``.

    Neighbouring pixels are alike, so dropping single ones would hide little.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    p : float in 0 .. 1
        With 1 everything is dropped.
    training : bool
        If not, the input is returned as it is.
    seed, step : int, optional
        Channel c of image n is dropped or not by a number computed from (seed, step, n * C + c) alone. Without them
        ``minicnn.random`` gives the seed and counts the step.

    Returns
    -------
    Tensor, shape (N, C, H, W)
        A dropped NaN is 0.

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W).
    OptionError
        If ``p`` is outside 0 .. 1 or NaN, or only one of ``seed`` and ``step`` is given.
    DTypeError
        If the input is not float32 or float64.

    Notes
    -----
    Tompson et al. 2015, "Efficient object localization using convolutional networks", section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.dropout2d(np.ones((1, 4, 3, 5)), 0.5, seed=7, step=0).numpy()[0, :, 0, 0]
    array([2., 0., 2., 0.])
    """
    x = check.images("dropout2d", input)
    return _dropout("dropout2d", x, x.shape[2] * x.shape[3], p, training, seed, step)


def _dropout(op: str, x: Tensor, share: int, p: float, training: bool, seed: int | None, step: int | None) -> Tensor:
    """Drop runs of ``share`` elements."""
    p = check.number(op, "p", p, 0, 1)
    if (seed is None) != (step is None):
        raise OptionError(f"{op}: seed and step must be given together, got seed={seed}, step={step}")
    if not check.flag(op, "training", training):
        return x
    if seed is None:
        seed, step = random.next_stream()
    k = twin("dropout")
    options = {
        "p": p,
        "seed": random.counter(op, "seed", seed),
        "step": random.counter(op, "step", step),
        "share": share,
    }
    out = k.dropout_forward(x.array, **options)
    # Each element is scaled or dropped: the gradient is too, by the same numbers.
    return record(op, out, (x, lambda grad_out: k.dropout_forward(grad_out, **options)))
