"""Every error that minicnn raises on purpose.

All of them are ``MiniCNNError`` and, so that idiomatic ``except ValueError`` works, also the builtin
error of the same meaning. A message reads ``op: the rule in the glossary's letters, got the actual
values``; inside a network the stage's name stands before it.

Examples
--------
>>> from minicnn.errors import ShapeError
>>> error = ShapeError("linear: input.shape[-1] must equal weight.shape[1], got 3 and 4")
>>> isinstance(error, ValueError)
True
>>> str(error.inside("F6").inside("lenet5"))
'in lenet5.F6: linear: input.shape[-1] must equal weight.shape[1], got 3 and 4'
"""

from __future__ import annotations

from typing import Self


class MiniCNNError(Exception):
    """The base class: ``except MiniCNNError`` catches whatever this library refuses."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.stages: list[str] = []

    def inside(self, stage: str) -> Self:
        """Add the name of the network stage, outermost last, in which the error arose."""
        self.stages.insert(0, stage)
        return self

    def __str__(self) -> str:
        return f"in {'.'.join(self.stages)}: {self.message}" if self.stages else self.message


class ShapeError(MiniCNNError, ValueError):
    """An array has the wrong rank or size."""


class DTypeError(MiniCNNError, TypeError):
    """An array or argument has the wrong type; nothing is promoted silently."""


class OptionError(MiniCNNError, ValueError):
    """An option (stride, p, reduction, ...) has a value that the op does not know."""


class OutOfRangeError(MiniCNNError, IndexError):
    """An index lies outside the tensor."""


class LabelError(MiniCNNError, IndexError, ValueError):
    """A class index lies outside ``0 .. C-1``."""


class GraphError(MiniCNNError, RuntimeError):
    """The autograd graph cannot give the right gradient: freed, changed in place, or not recorded."""


class StateError(MiniCNNError, KeyError, ValueError):
    """A state dict does not fit the module."""

    __str__ = MiniCNNError.__str__  # KeyError's own __str__ would show the message as a quoted key


class NotFiniteError(MiniCNNError, FloatingPointError):
    """A loss, activation or gradient became NaN or infinite."""


class MissingExtraError(MiniCNNError, ImportError):
    """A feature needs an optional package; the message gives the ``pip install`` line."""


class LoadError(MiniCNNError, ValueError):
    """A file cannot be read: ``path`` is the file, ``what`` is wrong with it, ``where`` in it.

    Examples
    --------
    >>> str(LoadError("digits.gz", "file is empty"))
    'digits.gz: file is empty'
    >>> str(LoadError("a.idx", "truncated: 100 bytes expected, 7 found", "byte 16"))
    'a.idx: truncated: 100 bytes expected, 7 found (at byte 16)'
    """

    def __init__(self, path: object, what: str, where: str = "") -> None:
        super().__init__(f"{path}: {what} (at {where})" if where else f"{path}: {what}")
        self.path, self.what, self.where = path, what, where


class SaveError(MiniCNNError, OSError):
    """A file could not be written; whatever stood there before is still whole."""
