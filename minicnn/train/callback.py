"""What a training run tells those who watch it."""

from __future__ import annotations

from dataclasses import dataclass, field

from minicnn.data import Loader
from minicnn.nn import Module
from minicnn.train.history import History
from minicnn.train.optimizer import Optimizer


@dataclass
class Run:
    """A training run between two steps; callbacks may read all of it, and set ``stop``.

    Attributes
    ----------
    model, optimizer, data : what was given to ``fit``
    epochs : int
        When to stop.
    epoch, batch : int
        Epochs finished, and steps finished in this one.
    history : History
        A row for each finished epoch.
    seen, correct, loss_sum, seconds : numbers
        Of this epoch so far: images, those answered rightly, their losses added up, time.
    stop : bool
        Set it to end training after this epoch.
    """

    model: Module
    optimizer: Optimizer
    data: Loader
    epochs: int
    epoch: int = 0
    batch: int = 0
    history: History = field(default_factory=History)
    seen: int = 0
    correct: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    stop: bool = False

    @property
    def loss(self) -> float:
        """Mean loss of this epoch so far."""
        return self.loss_sum / max(self.seen, 1)

    @property
    def accuracy(self) -> float:
        """Share of this epoch's images that were answered rightly, each before it was learnt from."""
        return self.correct / max(self.seen, 1)

    @property
    def lr(self) -> float:
        """The learning rate of the first group, as the schedule has it now."""
        return float(self.optimizer.groups[0]["lr"] * self.optimizer.factor)


class Callback:
    """Subclass it and override what you want to hear of; each gets the run.

    Examples
    --------
    >>> class StopWhenPerfect(Callback):
    ...     def on_epoch_end(self, run):
    ...         run.stop = run.history[-1].train_accuracy == 1.0
    """

    def on_epoch_start(self, run: Run) -> None:
        """Before the first step of an epoch (or of what is left of it after resuming)."""

    def on_step(self, run: Run) -> None:
        """After each step."""

    def on_epoch_end(self, run: Run) -> None:
        """After validation; ``run.history[-1]`` is the epoch's row."""

    def on_end(self, run: Run) -> None:
        """At the very end, also when an error ends the run."""
