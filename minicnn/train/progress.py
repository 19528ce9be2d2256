"""A bar for each epoch, on standard error."""

from __future__ import annotations

import sys
from typing import Any

from minicnn.errors import MissingExtraError, import_extra
from minicnn.train.callback import Callback, Run


class ProgressBar(Callback):
    """Show a bar for each epoch; without tqdm, or after the terminal has gone, do with less.

    Nothing that happens to the screen may end a training run: a stream that is closed or broken is silently
    written to no more. Where no terminal listens (a log file), the bar is drawn at its start and end only.
    """

    def __init__(self) -> None:
        self._stream: Any = sys.stderr
        self._bar: Any = None
        try:
            self._tqdm = import_extra("tqdm", "the progress bar").tqdm
        except MissingExtraError:
            self._tqdm = None  # it is a comfort, not a feature that one asked for: a line for each epoch does

    def on_epoch_start(self, run: Run) -> None:
        """Draw an empty bar."""
        if self._tqdm is not None:
            self._draw(self._open, run)

    def on_step(self, run: Run) -> None:
        """Move it."""
        if self._bar is not None:
            self._draw(self._move, run)

    def on_epoch_end(self, run: Run) -> None:
        """Leave the full bar, with the epoch's results, on a line of its own."""
        self._draw(self._finish, run)

    def on_end(self, run: Run) -> None:
        """Leave the bar of a run that was stopped as it is."""
        self._draw(lambda run: self._close(), run)

    def _draw(self, action: Any, run: Run) -> None:
        if self._stream is None:  # so it is under pythonw, and after 2>&-
            return
        try:
            action(run)
        except (OSError, ValueError):  # broken pipe; closed file
            self._stream = self._bar = None

    def _open(self, run: Run) -> None:
        self._bar = self._tqdm(
            total=len(run.data),
            initial=run.batch,
            desc=_title(run.epoch + 1, run),
            unit="step",
            file=self._stream,
            mininterval=0.1 if self._stream.isatty() else 1e9,
            dynamic_ncols=True,
        )

    def _move(self, run: Run) -> None:
        self._bar.set_postfix_str(f"loss {run.loss:.4f}, accuracy {run.accuracy:.2%}", refresh=False)
        self._bar.update()

    def _finish(self, run: Run) -> None:
        row = run.history[-1]
        results = f"loss {row.train_loss:.4f}, accuracy {row.train_accuracy:.2%}"
        if row.validation_accuracy is not None:
            results += f", validation loss {row.validation_loss:.4f}, accuracy {row.validation_accuracy:.2%}"
        if self._bar is None:
            print(f"{_title(row.epoch, run)}: {row.seconds:.1f} s, {results}", file=self._stream, flush=True)
        else:
            self._bar.set_postfix_str(results, refresh=False)
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            bar, self._bar = self._bar, None
            bar.close()


def _title(epoch: int, run: Run) -> str:
    return f"Epoch {epoch:{len(str(run.epochs))}}/{run.epochs}"
