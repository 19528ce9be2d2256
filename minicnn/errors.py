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
>>> str(ShapeError("relu: no").inside("act").inside("0").inside("conv2_x").inside("resnet50"))
'in resnet50.conv2_x[0].act: relu: no'
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any, Self


def nearest(name: object, known: Iterable[str]) -> str:
    """Say which known name was probably meant: the end of a message, empty if none is near.

    Examples
    --------
    >>> nearest("lenet", ["alexnet", "lenet5"])
    "; did you mean 'lenet5'?"
    >>> nearest("x", ["alexnet", "lenet5"])
    ''
    """
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


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
        if not self.stages:
            return self.message
        first, *rest = self.stages
        path = first + "".join(f"[{stage}]" if stage.isdigit() else f".{stage}" for stage in rest)
        return f"in {path}: {self.message}"


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


def import_extra(module: str, feature: str) -> Any:
    """Import a module of an optional package, or say how to get it.

    Parameters
    ----------
    module : str
        Such as ``"PIL.Image"``.
    feature : str
        What needs it, for the message.

    Raises
    ------
    MissingExtraError
        If the package is not installed.

    Examples
    --------
    >>> import_extra("json", "nothing").dumps([1])
    '[1]'
    >>> import_extra("no_such_package", "divination")
    Traceback (most recent call last):
    minicnn.errors.MissingExtraError: divination needs the package no_such_package: pip install 'minicnn[all]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise MissingExtraError(f"{feature} needs the package {package}: pip install 'minicnn[all]'") from error


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


class VersionError(LoadError):
    """A file is sound, but of a version that only a newer minicnn can read."""


class SaveError(MiniCNNError, OSError):
    """A file could not be written; whatever stood there before is still whole."""
