"""Layers that bring activations to a common scale."""

from __future__ import annotations

import copy

import numpy as np

import minicnn.functional as F
from minicnn.autograd import Tensor
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.nn.conv import Conv2d
from minicnn.nn.module import Module
from minicnn.nn.parameter import Buffer, Parameter


class BatchNorm2d(Module):
    """Standardise each channel, then scale and shift it: see ``minicnn.functional.batch_norm2d``.

    In training by the batch's own mean and variance, of which running averages are kept; after ``eval()`` by these.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance (PyTorch 1e-5, Keras 1e-3).
    momentum : float
        Weight of the newest batch in the running averages (Keras states the weight of the old ones instead).
    unbiased : bool
        Whether the running variance divides by n - 1 (PyTorch) or n (Keras).
    scale : bool
        Whether to scale (``weight``); a ReLU and a convolution after it can do without.
    activation : {"relu", "relu6"}, optional
        Applied to the result on the way: quicker than a layer of its own, which is one more trip through memory.

    Notes
    -----
    ``norm(x, residual)`` adds a residual connection before the activation, in the same pass.

    Attributes
    ----------
    weight, bias : Parameter, shape (C,)
        Scale (None without) and shift, 1 and 0 at first.
    running_mean, running_var : Buffer, shape (C,)
        0 and 1 at first.
    """

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        unbiased: bool = True,
        scale: bool = True,
        activation: str | None = None,
    ) -> None:
        self.num_features = check.integer("BatchNorm2d", "num_features", num_features, 1)
        self.eps = check.number("BatchNorm2d", "eps", eps, 0.0)
        self.momentum = check.number("BatchNorm2d", "momentum", momentum, 0.0, 1.0)
        self.unbiased = check.flag("BatchNorm2d", "unbiased", unbiased)
        self.activation = check.activation("BatchNorm2d", activation)
        self.weight = (
            Parameter(np.ones(num_features, np.float32)) if check.flag("BatchNorm2d", "scale", scale) else None
        )
        self.bias = Parameter(np.zeros(num_features, np.float32))
        self.running_mean = Buffer(np.zeros(num_features, np.float32))
        self.running_var = Buffer(np.ones(num_features, np.float32))

    def forward(self, input: Input, residual: Input | None = None) -> Tensor:
        return F.batch_norm2d(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
            unbiased=self.unbiased,
            residual=residual,
            activation=self.activation,
        )


def fold_batch_norm(conv: Conv2d, norm: BatchNorm2d) -> Conv2d:
    """Return one convolution that does what ``conv`` and then ``norm`` do in inference.

    There, batch norm is a scale and a shift of each channel. The scale goes into the filters and the shift into the
    bias, so both cost nothing, and the activation and a residual connection of ``norm`` are taken over as well.

    Raises
    ------
    ShapeError
        If ``norm`` is for another number of channels than ``conv`` has.
    OptionError
        If ``conv`` has an activation, which stands between the two.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import nn
    >>> conv, norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, activation="relu").eval()
    >>> one = nn.fold_batch_norm(conv, norm)
    >>> x = np.ones((1, 3, 5, 5), np.float32)
    >>> bool(np.allclose(one(x).numpy(), norm(conv(x)).numpy(), atol=1e-6))
    True
    """
    if conv.out_channels != norm.num_features:
        raise ShapeError(
            f"fold_batch_norm: num_features must equal out_channels, got {norm.num_features} and {conv.out_channels}"
        )
    if conv.activation is not None:
        raise OptionError(f"fold_batch_norm: conv must have no activation, got {conv.activation!r}")
    scale = (1 if norm.weight is None else norm.weight.array) / np.sqrt(norm.running_var.array + norm.eps)
    before = 0 if conv.bias is None else conv.bias.array
    of_filter = scale if conv.table is None else scale[np.nonzero(conv.table)[0]]
    folded = copy.copy(conv)
    folded.weight = Parameter(conv.weight.array * of_filter.reshape(-1, *[1] * (conv.weight.ndim - 1)))
    folded.bias = Parameter((before - norm.running_mean.array) * scale + norm.bias.array)
    folded.activation = norm.activation
    return folded


class LocalResponseNorm(Module):
    """Divide by the activity of neighbouring channels: see ``minicnn.functional.local_response_norm``."""

    def __init__(
        self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, form: str = "mean"
    ) -> None:
        op = "LocalResponseNorm"
        self.size = check.integer(op, "size", size, 1)
        self.alpha, self.beta, self.k = (
            check.number(op, name, value) for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
        )
        self.form = check.choice(op, "form", form, ("mean", "sum"))

    def forward(self, input: Input) -> Tensor:
        return F.local_response_norm(input, self.size, alpha=self.alpha, beta=self.beta, k=self.k, form=self.form)
