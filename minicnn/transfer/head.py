"""New last layers for a network that was loaded without its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import nn
from minicnn.autograd import Tensor, no_grad
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.models.architecture import cross_entropy, likeliest, softmax
from minicnn.nn import Buffer, Module


class Standardize(Module):
    """Bring each feature to mean 0 and deviation 1 by constants that are measured once: ``(input - mean) / std``.

    Features of a pretrained network differ in size by orders of magnitude; a linear layer on them learns several
    times as fast, and its weight decay treats all alike.

    Parameters
    ----------
    features : int
        F, the size of the last axis of the input.

    Attributes
    ----------
    mean, std : Buffer, shape (F,)
        0 and 1 until ``measure`` was called.
    """

    def __init__(self, features: int) -> None:
        self.features = check.integer("Standardize", "features", features, 1)
        self.mean = Buffer(np.zeros(features, np.float32))
        self.std = Buffer(np.ones(features, np.float32))

    def measure(self, features: NDArray[Any]) -> None:
        """Take mean and deviation of these, (..., F); a feature that never changes keeps its size.

        Raises
        ------
        ShapeError
            If the last axis has another size, or there is nothing to measure.
        """
        if features.shape[-1:] != (self.features,) or features.size == 0:
            raise ShapeError(f"Standardize: features must have shape (..., {self.features}), got {features.shape}")
        rows = features.reshape(-1, self.features).astype(np.float64)
        std = rows.std(axis=0)
        nn.init.fill(self.mean, rows.mean(axis=0).astype(self.mean.dtype))
        nn.init.fill(self.std, np.where(std > 1e-6, std, 1.0).astype(self.std.dtype))

    def forward(self, input: Input) -> Tensor:
        x = check.tensor("Standardize", "input", input)
        return (x - self.mean) / self.std


def features_of(base: Module) -> tuple[int, ...]:
    """Return the shape of what a network without its top makes of one image: (F,) or (C, H, W).

    Examples
    --------
    >>> from minicnn import models
    >>> features_of(models.create("mobilenet", width=0.25, size=96, include_top=False))
    (256, 3, 3)
    """
    side, channels = getattr(base, "size", None), getattr(base, "in_channels", None)
    if side is None or channels is None:
        raise OptionError("features_of: base must be a network of models.create, which knows the size of its images")
    with base.inference(), no_grad():
        made = base(np.zeros((1, channels, side, side), np.float32))
    return tuple(made.shape[1:])


def default_head(base: Module, classes: int, *, dropout: float = 0.2) -> nn.Sequential:
    """Make the usual head: the mean of each map (where the base has none), a common scale, dropout, one linear layer.

    Parameters
    ----------
    base : Module
        Of ``models.create(..., include_top=False)``, with or without pooling.
    classes : int
    dropout : float

    Examples
    --------
    >>> from minicnn import models
    >>> base = models.create("mobilenet", width=0.25, size=96, include_top=False, pooling="avg")
    >>> [name for name, _ in default_head(base, 2).named_children()]
    ['scale', 'drop', 'fc']
    """
    shape = features_of(base)
    pool: dict[str, Module] = {"mean": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()} if len(shape) == 3 else {}
    return nn.Sequential(pool | dict(linear_head(shape[0], classes, dropout=dropout).named_children()))


def linear_head(features: int, classes: int, *, dropout: float = 0.2) -> nn.Sequential:
    """Make the head for features (N, F) of one scale each: a common scale, dropout, one linear layer.

    Examples
    --------
    >>> linear_head(256, 2).fc
    Linear(256, 2)  weight (2, 256)  bias (2,)  514
    """
    last = nn.Linear(features, check.integer("linear_head", "classes", classes, 1))
    return nn.Sequential({"scale": Standardize(features), "drop": nn.Dropout(dropout), "fc": last})


def with_head(base: Module, head: Module) -> Module:
    """Put a head on a network: its last stage, called ``head``.

    Parameters
    ----------
    base : Module
        Of ``models.create(..., include_top=False)``, or any Sequential.
    head : Module
        What turns the features into logits (N, classes): layers of any kind.

    Returns
    -------
    Module
        A network that shares the layers of ``base``, which itself stays without a head.

    Raises
    ------
    OptionError
        If the base has its own top still, or a stage called ``head``.

    Examples
    --------
    >>> from minicnn import models, nn
    >>> base = models.create("resnet20", include_top=False, pooling="avg")
    >>> model = with_head(base, nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2)))
    >>> model(np.zeros((1, 3, 32, 32), np.float32)).shape
    (1, 2)
    """
    if not isinstance(base, nn.Sequential):
        raise OptionError(f"with_head: base must be a network of stages (a Sequential), got a {type(base).__name__}")
    if getattr(base, "include_top", False):
        raise OptionError("with_head: base has its own last layers: create(..., include_top=False) leaves them out")
    model: Any = copy.copy(base)
    model.add_module("head", head)
    if hasattr(base, "form"):  # what the head says are logits, whatever the paper's last layer gave
        model.form = replace(model.form, loss=cross_entropy, predict=likeliest, probabilities=softmax)
        model.classes = ()
    made: Module = model
    return made
