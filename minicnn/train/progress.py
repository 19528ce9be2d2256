"""Bars on standard error: one for each epoch, and for what else takes long.

Nothing that happens to the screen may end a run: a stream that is closed or broken is silently written to no more.
Where no terminal listens (a log file), a bar is drawn at its start and end only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minicnn.errors import MissingExtraError, import_extra
from minicnn.train.callback import Callback, Run


class _Screen:
    """Standard error with at most one bar on it, or nothing."""

    def __init__(self) -> None:
        self.stream: Any = sys.stderr
        self.bar: Any = None
        try:
            self._tqdm = import_extra("tqdm", "the progress bar").tqdm
        except MissingExtraError:
            self._tqdm = None  # it is a comfort, not a feature that one asked for

    def draw(self, action: Callable[[], object]) -> None:
        """Do something to the bar or the stream, if they are there still."""
        if self.stream is None:  # so it is under pythonw, and after 2>&-
            return
        try:
            action()
        except (OSError, ValueError):  # broken pipe; closed file
            self.stream = self.bar = None

    def open(self, title: str, total: int, unit: str, done: int = 0) -> None:
        """Draw a bar."""
        if self._tqdm is not None:
            self.bar = self._tqdm(
                total=total,
                initial=done,
                desc=title,
                unit=unit,
                file=self.stream,
                mininterval=0.1 if self.stream.isatty() else 1e9,
                dynamic_ncols=True,
            )

    def close(self) -> None:
        """Leave the bar as it is, on a line of its own."""
        if self.bar is not None:
            bar, self.bar = self.bar, None
            bar.close()


class ProgressBar(Callback):
    """Show a bar for each epoch; without tqdm a line at its end."""

    def __init__(self) -> None:
        self._screen = _Screen()

    def on_epoch_start(self, run: Run) -> None:
        """Draw an empty bar."""
        title = _title(run.epoch + 1, run)
        self._screen.draw(lambda: self._screen.open(title, len(run.data), "step", run.batch))

    def on_step(self, run: Run) -> None:
        """Move it."""
        if self._screen.bar is not None:
            self._screen.draw(lambda: self._move(run))

    def on_epoch_end(self, run: Run) -> None:
        """Leave the full bar, with the epoch's results, on a line of its own."""
        self._screen.draw(lambda: self._finish(run))

    def on_end(self, run: Run) -> None:
        """Leave the bar of a run that was stopped as it is."""
        self._screen.draw(self._screen.close)

    def _move(self, run: Run) -> None:
        self._screen.bar.set_postfix_str(f"loss {run.loss:.4f}, accuracy {run.accuracy:.2%}", refresh=False)
        self._screen.bar.update()

    def _finish(self, run: Run) -> None:
        row = run.history[-1]
        results = f"loss {row.train_loss:.4f}, accuracy {row.train_accuracy:.2%}"
        if row.validation_accuracy is not None:
            results += f", validation loss {row.validation_loss:.4f}, accuracy {row.validation_accuracy:.2%}"
        if self._screen.bar is None:
            print(f"{_title(row.epoch, run)}: {row.seconds:.1f} s, {results}", file=self._screen.stream, flush=True)
        else:
            self._screen.bar.set_postfix_str(results, refresh=False)
            self._screen.close()


@contextmanager
def counting(title: str, total: int, unit: str, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar while something is done ``total`` times; what it gives is to be told how often it was."""
    screen = _Screen()
    if shown:
        screen.draw(lambda: screen.open(title, total, unit))

    def tell(done: int) -> None:
        if screen.bar is not None:
            screen.draw(lambda: screen.bar.update(done - screen.bar.n))

    try:
        yield tell
    finally:
        screen.draw(screen.close)


def _title(epoch: int, run: Run) -> str:
    return f"Epoch {epoch:{len(str(run.epochs))}}/{run.epochs}"
