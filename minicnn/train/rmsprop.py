"""RMSprop: divide the gradient by its recent root mean square."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.autograd import Array
from minicnn.train.optimizer import Optimizer, Parameters


class RMSprop(Optimizer):
    """RMSprop of Tieleman and Hinton (lecture 6e of "Neural Networks for Machine Learning", 2012).

    ``v = alpha * v + (1 - alpha) * g**2`` and ``p -= lr * g / (sqrt(v) + eps)``; with momentum the quotient is
    gathered first, ``b = momentum * b + g / (sqrt(v) + eps)`` and ``p -= lr * b``.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups ``{"params": [...], "lr": 0.01, ...}``.
    lr : float
        Learning rate, above 0.
    alpha : float
        How much of the running mean stays at a step.
    eps : float
        Keeps the division finite. It stands outside the root, as in PyTorch; TensorFlow's stood inside.
    weight_decay : float
        Added to the gradient as ``weight_decay * p``.
    momentum : float
        0 for none.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Examples
    --------
    >>> import numpy as np, minicnn
    >>> w = minicnn.Tensor(np.array([1.0, -5.0]), requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.numpy().round(6)
    array([ 0., -4.])
    """

    def __init__(
        self,
        params: Parameters,
        *,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
    ) -> None:
        super().__init__(
            params, ["square", "momentum"], lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum
        )

    def _update(self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]) -> None:
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        v = slots["square"]
        v *= group["alpha"]
        v += (1 - group["alpha"]) * (g * g)
        scaled = g / (np.sqrt(v) + group["eps"])
        if group["momentum"]:
            b = slots["momentum"]
            b *= group["momentum"]
            b += scaled
            scaled = b
        p -= lr * scaled
