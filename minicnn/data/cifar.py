"""CIFAR-10 and CIFAR-100 (A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009).

Both are published as binary files, rows of labels and 3,072 bytes, and as pickles of Python 2. The pickles are parsed
by the machine that reads files of weights, which cannot call anything; what the few names in them mean stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn.data.dataset import ArrayDataset
from minicnn.errors import LoadError
from minicnn.weights.pickle_stream import Global, Machine
from minicnn.weights.source import File

PIXELS = 3 * 32 * 32
ADVICE = "; the files of www.cs.toronto.edu/~kriz/cifar.html are read"


class Kind(NamedTuple):
    """What the files of a set are called, and what they hold."""

    classes: int
    labels: int  # bytes before the pixels of each row, of which the last is the class
    training: tuple[str, ...]
    test: str
    names: str
    label_key: str = ""
    names_key: str = ""


BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
BINARY = (
    Kind(10, 1, tuple(f"{name}.bin" for name in BATCHES), "test_batch.bin", "batches.meta.txt"),
    Kind(100, 2, ("train.bin",), "test.bin", "fine_label_names.txt"),
)
PICKLED = (
    Kind(10, 1, BATCHES, "test_batch", "batches.meta", "labels", "label_names"),
    Kind(100, 2, ("train",), "test", "meta", "fine_labels", "fine_label_names"),
)


def is_cifar(names: set[str]) -> bool:
    """Tell whether a folder with files of these names is one of CIFAR."""
    return any({kind.training[0], kind.test} <= names for kind in (*BINARY, PICKLED[0])) or {"train", "meta"} <= names


def load_cifar(folder: str | Path) -> tuple[ArrayDataset, ArrayDataset, tuple[str, ...]]:
    """Read CIFAR-10 or CIFAR-100 (its 100 fine labels), in the binary form or as pickles.

    Parameters
    ----------
    folder : path
        Holds ``data_batch_1.bin`` .. ``_5.bin`` and ``test_batch.bin``; or ``train.bin`` and ``test.bin``; or the
        pickles ``data_batch_1`` .. ``_5`` and ``test_batch``; or ``train`` and ``test``. Beside them the names of the
        classes.

    Returns
    -------
    (ArrayDataset, ArrayDataset, tuple of str)
        Training and test part, images uint8 (N, 3, 32, 32), and the names of the classes.

    Raises
    ------
    LoadError
        If a file is missing or broken, or a label is out of range. Nothing in a file is ever executed.
    """
    folder = Path(folder)
    for read, kinds in ((_binary, BINARY), (_pickled, PICKLED)):
        for kind in kinds:
            if (folder / kind.training[0]).is_file():
                parts = [read(folder / name, kind) for name in (*kind.training, kind.test)]
                images, labels = zip(*parts[:-1], strict=True)
                training = ArrayDataset(np.concatenate(images), np.concatenate(labels))
                return training, ArrayDataset(*parts[-1]), _names(folder / kind.names, kind)
    wanted = ", ".join(kind.training[0] for kind in (*BINARY, *PICKLED))
    raise LoadError(folder, f"holds no file of CIFAR: none of {wanted}")


def _binary(path: Path, kind: Kind) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    data = File.open(path).data
    row = kind.labels + PIXELS
    if len(data) % row:
        other = next(known for known in BINARY if known is not kind)
        fits = len(data) % (other.labels + PIXELS) == 0
        hint = f"; it would be rows of {other.labels + PIXELS}, those of CIFAR-{other.classes}" if fits else ""
        raise LoadError(path, f"must be rows of {row} bytes, found {len(data):,} bytes{hint}")
    rows = np.frombuffer(data, np.uint8).reshape(-1, row)
    return _checked(path, kind, rows[:, kind.labels :], rows[:, kind.labels - 1])


def _pickled(path: Path, kind: Kind) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _unpickled(path)
    pixels, labels = batch.get("data"), batch.get(kind.label_key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise LoadError(path, f"must hold an array 'data' of shape (N, {PIXELS}) and dtype uint8")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise LoadError(path, f"must hold a list {kind.label_key!r} of whole numbers, as CIFAR-{kind.classes} does")
    if any(abs(label) > 1000 for label in labels):
        raise LoadError(path, f"labels must lie in 0 .. {kind.classes - 1}, found one of {max(labels, key=abs)}")
    return _checked(path, kind, pixels, np.array(labels, np.int64))


def _checked(
    path: Path, kind: Kind, pixels: NDArray[np.uint8], labels: NDArray[Any]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if len(labels) != len(pixels):
        raise LoadError(path, f"{len(labels)} labels for {len(pixels)} images")
    wrong = np.flatnonzero((labels < 0) | (labels >= kind.classes))
    if wrong.size:
        raise LoadError(
            path, f"labels must lie in 0 .. {kind.classes - 1}, found {labels[wrong[0]]}", f"item {wrong[0]}"
        )
    return pixels.reshape(-1, 3, 32, 32).copy(), labels.astype(np.int64)


def _names(path: Path, kind: Kind) -> tuple[str, ...]:
    """Read the names of the classes."""
    if kind.names_key:
        names = _unpickled(path).get(kind.names_key)
    else:
        try:
            names = path.read_text().split()
        except (OSError, UnicodeDecodeError) as error:
            raise LoadError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(names, list) or len(names) != kind.classes or not all(type(name) is str for name in names):
        raise LoadError(path, f"must hold the names of {kind.classes} classes")
    return tuple(names)


# ------------------------------------------------------------------------------- pickles


@dataclass
class _Unbuilt:
    """An array or a dtype, made first and told later what it is."""

    of: str


NAMES = {
    Global(module, name): meaning
    for module, name, meaning in (
        ("numpy.core.multiarray", "_reconstruct", "array"),
        ("numpy._core.multiarray", "_reconstruct", "array"),
        ("numpy", "ndarray", "type"),
        ("numpy", "dtype", "dtype"),
        ("_codecs", "encode", "bytes"),
    )
}


class _Arrays(Machine):
    """The pickle machine for dicts of lists, text and arrays of bytes."""

    advice = ADVICE

    def find(self) -> None:
        found = Global(self.line(), self.line())
        if found not in NAMES:
            raise self.error(f"names {found}, which is refused: nothing in a file of CIFAR needs it{self.advice}")
        self.push(found)

    def find_storage(self) -> None:
        raise self.error(f"refers to something outside of it{self.advice}")

    def make(self) -> None:
        raise self.error(f"makes an object{self.advice}")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        match NAMES.get(function) if type(function) is Global else None, arguments:
            case "array", (Global("numpy", "ndarray"), (0,), str()):
                self.push(_Unbuilt("array"))
            case "dtype", (str(code), *_) if code == "u1":
                self.push(_Unbuilt("uint8"))
            case "dtype", (str(code), *_):
                raise self.error(f"has an array of dtype {code!r}, and pixels are bytes, u1{self.advice}")
            case "bytes", (str(text), "latin1"):
                self.push(text)
            case _:
                raise self.error(f"calls {function} with arguments that it never has{self.advice}")

    def build(self) -> None:
        state, value = self.pop(), self.pop()
        match value, state:
            case _Unbuilt("uint8"), tuple():
                self.push(value)
            case _Unbuilt("array"), (int(), tuple(shape), _Unbuilt("uint8"), bool(columns_first), str(pixels)) if all(
                type(side) is int and side >= 0 for side in shape
            ):
                try:
                    content = np.frombuffer(pixels.encode("latin-1"), np.uint8)
                    self.push(content.reshape(shape, order="F" if columns_first else "C"))
                except (UnicodeEncodeError, ValueError):
                    raise self.error(f"has an array of shape {shape} with {len(pixels):,} bytes") from None
            case _:
                raise self.error(f"sets attributes of a {type(value).__name__}{self.advice}")


def _unpickled(path: Path) -> Mapping[str, Any]:
    file = File.open(path)
    value, _ = _Arrays(file, file.data, 0, "the pickle").run()
    if type(value) is not dict:
        raise LoadError(path, f"must hold a dict, found a {type(value).__name__}{ADVICE}")
    return value
