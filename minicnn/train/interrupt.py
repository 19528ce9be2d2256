"""Ctrl-C in the middle of training: finish the step, save, and only then stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop (Ctrl-C, SIGTERM), and did so between two steps, after saving.

    A program that catches it should exit with status 130, as a shell expects after Ctrl-C.

    Attributes
    ----------
    signal : signal.Signals
    history : History
        Of the epochs that were finished.
    """

    def __init__(self, message: str, received: signal.Signals, history: Any) -> None:
        super().__init__(message)
        self.signal, self.history = received, history


class Interruption:
    """Note the first SIGINT or SIGTERM instead of acting on it: ``with Interruption() as asked``.

    ``asked.signal`` is then what was received, or None. The second one acts as ever, since with the first the
    old handlers are put back. A signal that this process ignores (a job that a shell put into the background)
    stays ignored, and outside the main thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self.__exit__()
