"""The optimiser that trained LeNet-5 in 1998."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn.autograd import Array
from minicnn.errors import OptionError
from minicnn.nn import Module
from minicnn.train.curvature import diagonal_curvature
from minicnn.train.optimizer import Loss, Optimizer, Parameters


class StochasticDiagonalLevenbergMarquardt(Optimizer):
    """Give each weight a rate of its own, the smaller the more the loss bends along it.

    ``p -= lr / (mu + h) * g``, where ``h`` is the curvature along ``p``, estimated anew before each pass on some
    images of the training set (LeCun et al. 1998, appendix C; curvature.py says how).

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        Parameters, or groups ``{"params": [...], "lr": 0.01, ...}``.
    lr : float
        The paper's global rate epsilon; ``schedules.LECUN_1998`` makes of 0.0005 what the paper used.
    mu : float
        Bounds the rate where the loss hardly bends.
    samples : int
        On how many images to estimate the curvature.

    Raises
    ------
    OptionError
        If an option is out of its range.

    Examples
    --------
    >>> from minicnn import models, train
    >>> model = models.create("lenet5", form="paper")
    >>> optimizer = train.StochasticDiagonalLevenbergMarquardt(model.parameters(), lr=0.0005)
    """

    def __init__(self, params: Parameters, *, lr: float, mu: float = 0.02, samples: int = 500) -> None:
        super().__init__(params, ["curvature"], lr=lr, mu=mu)
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
            raise OptionError(f"{self.name}: samples must be an integer >= 1, got {samples!r}")
        self.samples = samples

    @property
    def config(self) -> dict[str, Any]:
        """The formula and its options, as JSON knows them."""
        return {**super().config, "samples": self.samples}

    def start_epoch(self, model: Module, inputs: Array, labels: Array, loss: Loss) -> None:
        """Estimate the curvature on these images; ``fit`` does so before each epoch."""
        curvature = diagonal_curvature(model, inputs, labels, loss)
        for p, slots in zip(self.params, self.slots, strict=True):
            slots["curvature"][...] = curvature[p]

    def _update(self, p: Array, g: Array, slots: dict[str, Array], lr: float, group: Mapping[str, Any]) -> None:
        p -= lr * g / (group["mu"] + slots["curvature"])
