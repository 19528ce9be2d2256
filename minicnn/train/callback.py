"""What a training run tells those who watch it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minicnn.data import Loader
from minicnn.errors import OptionError
from minicnn.nn import Module
from minicnn.train.checkpoint import Checkpoint
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


class KeepBest(Callback):
    """Keep the weights of the epoch with the lowest validation loss, and stop when no better one comes.

    Which epoch that is, the history says: nothing else is remembered, so a resumed run goes on as if never stopped.

    Parameters
    ----------
    file : path
        Where these weights are kept.
    patience : int, optional
        Stop after so many epochs without a lower loss; None: never.

    Raises
    ------
    OptionError
        If ``patience`` is not a positive integer.
    """

    def __init__(self, file: str | Path, patience: int | None = None) -> None:
        if patience is not None and (isinstance(patience, bool) or not isinstance(patience, int) or patience < 1):
            raise OptionError(f"KeepBest: patience must be an integer >= 1, got {patience!r}")
        self.file, self.patience = Path(file), patience

    def on_epoch_start(self, run: Run) -> None:
        """Do what a run that was killed after its checkpoint could not do any more."""
        if run.epoch and run.batch == 0:
            self.on_epoch_end(run)

    def on_epoch_end(self, run: Run) -> None:
        """Keep the weights if they are the best so far; stop if the best are old."""
        best = self.epoch(run.history)
        if best == run.epoch:
            Checkpoint(run.model.state_dict(), {}, {"epoch": best}).save(self.file)
        run.stop = run.stop or (self.patience is not None and run.epoch - best >= self.patience)

    @staticmethod
    def epoch(history: History) -> int:
        """Return the epoch with the lowest validation loss (counted from 1), the first of equals.

        Raises
        ------
        OptionError
            If nothing was validated.
        """
        losses = [row.validation_loss for row in history]
        if not losses or None in losses:
            raise OptionError("KeepBest: needs a validation loss of every epoch: give `validation` to fit")
        return int(np.argmin(np.nan_to_num(np.asarray(losses, np.float64), nan=np.inf))) + 1

    def restore(self, model: Module) -> int:
        """Give a network the best weights, and return their epoch.

        Raises
        ------
        LoadError
            If they cannot be read.
        """
        checkpoint = Checkpoint.load(self.file)
        model.load_state_dict(checkpoint.model)
        return int(checkpoint.facts["epoch"])
