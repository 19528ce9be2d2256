"""Adam and AdamW: each weight's step is scaled by the recent size of its own gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.autograd import Array
from minicnn.train.optimizer import Optimizer, Parameters


class Adam(Optimizer):
    """Adam of Kingma and Ba 2015, algorithm 1.

    ``m`` and ``v`` are running means of ``g`` and ``g**2``; after step ``t``,
    ``p -= lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups ``{"params": [...], "lr": 0.01, ...}``.
    lr : float
        Learning rate, above 0.
    betas : (float, float)
        How much of each running mean stays at a step.
    eps : float
        Keeps the division finite.
    weight_decay : float
        Added to the gradient as ``weight_decay * p``; ``AdamW`` does it better.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Examples
    --------
    >>> import numpy as np, minicnn
    >>> w = minicnn.Tensor(np.array([1.0, -5.0]), requires_grad=True)
    >>> optimizer = Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(6)
    array([ 0.9, -4.9])
    """

    def __init__(
        self,
        params: Parameters,
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, ["mean", "square"], lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]) -> None:
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        beta1, beta2 = group["betas"]
        m, v = slots["mean"], slots["square"]
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        size = np.sqrt(v)
        size /= math.sqrt(1 - beta2**self.steps)
        size += group["eps"]
        p -= (lr / (1 - beta1**self.steps)) * (m / size)


class AdamW(Adam):
    """Adam with the weight decay kept out of the running means.

    Loshchilov and Hutter 2019, algorithm 2: ``p *= 1 - lr * weight_decay``, then Adam's step. Parameters and
    errors are ``Adam``'s.

    Examples
    --------
    >>> import numpy as np, minicnn
    >>> w = minicnn.Tensor(np.array([1.0]), requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(6)
    array([0.85])
    """

    def __init__(
        self,
        params: Parameters,
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def _update(self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]) -> None:
        p *= 1 - lr * group["weight_decay"]
        super()._update(p, g, slots, lr, {**group, "weight_decay": 0.0})
