"""Batch normalisation of images."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from minicnn.autograd import Array, Tensor, needs_grad, record
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.activations import once
from minicnn.functional.check import Input
from minicnn.kernels import twin


def batch_norm2d(
    input: Input,
    running_mean: Input | None = None,
    running_var: Input | None = None,
    weight: Input | None = None,
    bias: Input | None = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    unbiased: bool = True,
    residual: Input | None = None,
    activation: str | None = None,
) -> Tensor:
    """Give every channel mean 0 and variance 1, then scale by ``weight`` and shift by ``bias``.

    What follows in most networks, a residual connection and ReLU, can be done in the same pass through memory:
    three trips through it become one, forward and backward.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    running_mean, running_var : Tensor or array, shape (C,), optional
        The statistics used in inference. In training those of the batch are used, and the running ones are moved
        towards them, in place.
    weight, bias : Tensor or array, shape (C,), optional
        By default 1 and 0.
    training : bool
        Whether to use the statistics of the batch. An empty batch has none and leaves the running ones alone.
    momentum : float in 0 .. 1
        The share of the new value: ``running = (1 - momentum) * running + momentum * new``. (Keras's momentum is
        the share of the old one: its 0.99 is 0.01 here.)
    eps : float >= 0
        Added to the variance.
    unbiased : bool
        Whether ``running_var`` averages the variance with divisor N * H * W - 1 (PyTorch) or N * H * W (Keras).
        The batch itself is always normalised with the latter.
    residual : Tensor or array, the input's shape, optional
        Added to the normalised images (ResNet's shortcut).
    activation : {"relu", "relu6"}, optional
        Applied last.

    Returns
    -------
    Tensor, shape (N, C, H, W)

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a channel of a training batch has one value only (its variance means nothing).
    DTypeError
        If the arrays are not all float32 or all float64.
    OptionError
        If running statistics are missing in inference, one is given without the other, cannot be written in
        training, a variance is negative, or the activation is unknown.
    GraphError
        If a running statistic requires a gradient.

    Notes
    -----
    Ioffe and Szegedy 2015, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift". Sums are in double precision: float32 images of large mean keep their variance.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> mean, var = np.zeros(1), np.ones(1)
    >>> F.batch_norm2d(np.array([[[[1.0, 3.0]]]]), mean, var, training=True, eps=0.0).numpy()
    array([[[[-1.,  1.]]]])
    >>> mean, var
    (array([0.2]), array([1.1]))
    """
    op = "batch_norm2d"
    x = check.images(op, input)
    share, eps = check.number(op, "momentum", momentum, 0, 1), check.number(op, "eps", eps, 0)
    w = None if weight is None else check.tensor(op, "weight", weight)
    b = None if bias is None else check.tensor(op, "bias", bias)
    training, unbiased = check.flag(op, "training", training), check.flag(op, "unbiased", unbiased)
    old_mean, old_var = _running(op, running_mean, running_var, training)
    vectors = {"weight": w, "bias": b, "running_mean": old_mean, "running_var": old_var}
    shortcut = None if residual is None else check.images(op, residual, "residual")
    check.same_dtype(op, input=x, **vectors, residual=shortcut)
    channels, count = x.shape[1], x.size // x.shape[1]
    for name, vector in vectors.items():
        if vector is not None:
            check.shape(op, name, vector, (channels,), "(C,)")
    if shortcut is not None:
        check.shape(op, "residual", shortcut, x.shape, "input.shape")
    activation = check.activation(op, activation)
    if old_var is not None and np.fmin.reduce(old_var.array) < 0:
        raise OptionError(f"{op}: running_var must be >= 0, got {old_var.array.min()}")
    if training and count == 1:
        raise ShapeError(f"{op}: N * H * W must be > 1 in training, got input {x.shape}: one value has no variance")

    k = twin(op)
    xa = x.array
    wa = np.ones(channels, x.dtype) if w is None else w.array
    ba = np.zeros(channels, x.dtype) if b is None else b.array
    running = None if old_mean is None or old_var is None else (old_mean.array, old_var.array)
    if not training:
        mean, var = running[0].astype(np.float64), running[1]  # type: ignore[index]
    elif count:
        correction = count / (count - 1) if unbiased else 1.0
        mean, var, moved = k.batch_norm2d_statistics(xa, running, share, correction)
        if moved is not None:
            _set(running_mean, moved[0])
            _set(running_var, moved[1])
    else:
        mean, var = np.zeros(channels), np.ones(channels)
    inv_std = k.batch_norm2d_inv_std(var, eps)
    added = None if shortcut is None else shortcut.array
    out = k.batch_norm2d_forward(xa, mean, inv_std, wa, ba, added, activation=activation)

    # Only after a residual was added must the output be asked what the activation cut off.
    asked = None if shortcut is None or activation is None else out
    sums = training or needs_grad(w, b)
    options = {"activation": activation, "training": training, "sums": sums}

    @once
    def shared(grad_out: Array) -> tuple[Any, ...]:
        """Return the gradients of x, weight, bias, residual."""
        grads: tuple[Any, ...] = k.batch_norm2d_grad(grad_out, xa, mean, inv_std, wa, ba, asked, **options)
        return grads

    pairs: list[tuple[Tensor, Any]] = [(x, lambda grad_out: shared(grad_out)[0])]
    if w is not None:
        pairs.append((w, lambda grad_out: shared(grad_out)[1].astype(xa.dtype)))
    if b is not None:
        pairs.append((b, lambda grad_out: shared(grad_out)[2].astype(xa.dtype)))
    if shortcut is not None:
        pairs.append((shortcut, lambda grad_out: grad_out if asked is None else shared(grad_out)[3]))
    return record(op, out, *pairs)


def _running(op: str, mean: Any, var: Any, training: bool) -> tuple[Tensor | None, Tensor | None]:
    """Return the running statistics for reading: both or, in training, neither."""
    if mean is None and var is None and training:
        return None, None
    if mean is None or var is None:
        raise OptionError(
            f"{op}: running_mean and running_var must be given together (in training, they may both be left out), "
            f"got {'no running_mean' if mean is None else 'a running_mean'} and "
            f"{'no running_var' if var is None else 'a running_var'}"
        )
    for name, value in (("running_mean", mean), ("running_var", var)):
        if training and isinstance(value, np.ndarray) and not value.flags.writeable:
            raise OptionError(f"{op}: {name} is changed in training, got a read-only array; pass a copy")
    return check.constant(op, "running_mean", mean), check.constant(op, "running_var", var)


def _set(running: Any, values: Array) -> None:
    """Change a running statistic in place."""
    with running.changing() if isinstance(running, Tensor) else nullcontext(running) as array:
        array[...] = values
