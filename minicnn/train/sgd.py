"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.autograd import Array
from minicnn.errors import OptionError
from minicnn.train.optimizer import Optimizer, Parameters


class SGD(Optimizer):
    """Go down the gradient, with the momentum of the last steps.

    ``b = momentum * b + g``, then ``p -= lr * b``; with ``nesterov``, ``p -= lr * (g + momentum * b)``. Weight
    decay adds ``weight_decay * p`` to the gradient before.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups ``{"params": [...], "lr": 0.01, ...}``.
    lr : float
        Learning rate, above 0.
    momentum : float
        0 for none.
    nesterov : bool
        Look ahead along the momentum (Sutskever et al. 2013, section 2).
    weight_decay : float
        Strength of the penalty ``weight_decay / 2 * p**2``.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Examples
    --------
    >>> import numpy as np, minicnn
    >>> w = minicnn.Tensor(np.array([1.0]), requires_grad=True)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy()
    array([0.8])
    """

    def __init__(
        self,
        params: Parameters,
        *,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, ["momentum"], lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def _check(self, group: Mapping[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and group["momentum"] == 0:
            raise OptionError("SGD: nesterov needs a momentum, got momentum=0")

    def _update(self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]) -> None:
        momentum = group["momentum"]
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        if momentum:
            b = slots["momentum"]
            b *= momentum
            b += g
            g = g + momentum * b if group["nesterov"] else b
        p -= lr * g
