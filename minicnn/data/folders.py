"""A folder of data, whatever its layout: photos sorted into folders, a list, the files of CIFAR or MNIST.

``open_folder`` finds out which it is and returns a part to learn from and one to test on. Nothing is left out in
silence: what is passed over stands in ``notes``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data.cifar import is_cifar, load_cifar
from minicnn.data.classes import DIGITS
from minicnn.data.dataset import Dataset, Photos
from minicnn.data.idx import load_mnist
from minicnn.data.lists import read_list
from minicnn.data.pictures import read_photo
from minicnn.errors import LoadError, OptionError, import_extra

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TRAINING, VALIDATION = ("train", "training"), ("val", "valid", "validation", "test")
JUNK = ("thumbs.db", "desktop.ini")  # what systems put into folders, beside names that begin with a dot
SHOWN = 5  # names in a note


@dataclass(frozen=True)
class Parts:
    """A set of data, divided.

    Attributes
    ----------
    training, validation : Dataset
    classes : tuple of str
        What the labels 0, 1, ... mean.
    notes : list of str
        What was passed over, and what is strange, one line each.
    divided : bool
        Whether the data came divided; else ``open_folder`` did it.
    """

    training: Dataset
    validation: Dataset
    classes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    divided: bool = True


def open_folder(path: str | Path, *, validation: float = 0.2, seed: int = 0) -> Parts:
    """Find the images under a path and their classes.

    Parameters
    ----------
    path : path
        One of

        - a folder with ``train/CLASS/*.jpg`` and ``val/CLASS/*.jpg`` (or ``test``, ``valid``, ``validation``),
        - a folder with ``CLASS/*.jpg``, which is divided here,
        - a CSV list of files and classes, which is divided here (or a folder with ``train.csv`` and ``val.csv``),
        - a folder with the files of MNIST (idx) or of CIFAR-10 or -100 (binary or pickle).
    validation : float
        The share that is held out where the data are not divided; of each class the same.
    seed : int
        Of that division.

    Returns
    -------
    Parts

    Raises
    ------
    LoadError
        If there is nothing of that kind, a class is empty, there is one class only, or the validation part has a class
        that the training part lacks.
    OptionError
        If the share is not between 0 and 1, or a class has too few images to be divided.
    """
    top = Path(path)
    if not top.is_dir():
        return _divide(_list(top), validation, seed)
    inside = {entry.name for entry in top.iterdir()}
    return _arrays(top, inside) or _divided(top, inside) or _divide(_class_folders(top), validation, seed)


def open_test(path: str | Path, classes: Sequence[str], *, read: Callable[[Path], Any] = read_photo) -> Parts:
    """Find images to test a trained network on.

    Parameters
    ----------
    path : path
        As in ``open_folder``; where the data are divided, their validation part is taken, else all of them.
    classes : sequence of str
        Those that the network knows, in its order.
    read : function
        From a path to an image, as the network wants it.

    Returns
    -------
    Parts
        With all images in ``validation``, and none in ``training``.

    Raises
    ------
    LoadError
        If there is nothing of that kind, or a class is among them that the network does not know.
    """
    top = Path(path)
    inside = {entry.name for entry in top.iterdir()} if top.is_dir() else set()
    if arrays := _arrays(top, inside):
        held_out, known = arrays.validation, arrays.classes
        if tuple(known) != tuple(classes):
            raise LoadError(path, f"has the classes {_few(list(known))}, the network knows {_few(list(classes))}")
        return Parts(held_out.only([]), held_out, known)
    found = _part(top, inside, VALIDATION) or _class_folders(top) if top.is_dir() else _list(top)
    if unknown := sorted(set(found.names) - set(classes)):
        raise LoadError(
            found.path,
            f"has the class {_few(unknown)}, which the network does not know: it knows {_few(list(classes))}",
        )
    notes = list(found.notes)
    if absent := [name for name in classes if name not in set(found.names)]:
        notes.append(f"{found.path} has no image of {_few(absent)}")
    photos = found.photos(tuple(classes), read)
    return Parts(photos.only([]), photos, tuple(classes), notes)


def _arrays(top: Path, inside: set[str]) -> Parts | None:
    """Read the files of MNIST or CIFAR; None if there are none."""
    if any(name.startswith("train-images") for name in inside):
        return Parts(*load_mnist(top), classes=DIGITS)
    return Parts(*load_cifar(top)) if is_cifar(inside) else None


# ------------------------------------------------------------------------------- photos


@dataclass(frozen=True)
class _Found:
    """Files with the names of their classes, before anybody counts classes."""

    path: Path
    files: list[Path]
    names: list[str]
    notes: list[str]

    def photos(self, classes: tuple[str, ...], read: Callable[[Path], Any] = read_photo) -> Photos:
        number = {name: label for label, name in enumerate(classes)}
        return Photos(self.files, [number[name] for name in self.names], read=read)


def _divided(top: Path, inside: set[str]) -> Parts | None:
    """Read data that come in two parts; None if they do not."""
    training, held_out = (_part(top, inside, words) for words in (TRAINING, VALIDATION))
    if training is None or held_out is None:
        return None
    classes = _classes(training)
    if unknown := sorted(set(held_out.names) - set(classes)):
        raise LoadError(
            held_out.path,
            f"has the class {', '.join(map(repr, unknown))}, which {training.path} lacks: nobody could learn it",
        )
    notes = training.notes + held_out.notes
    if absent := [name for name in classes if name not in set(held_out.names)]:
        notes.append(f"{held_out.path} has no image of {', '.join(map(repr, absent))}: how well it is known stays open")
    read = {part.path.name for part in (training, held_out)}
    if left := sorted(name for name in inside - read if not name.startswith(".") and name.lower() not in JUNK):
        notes.append(f"{top}: not read, beside {' and '.join(sorted(read))}: {_few(left)}")
    return Parts(training.photos(classes), held_out.photos(classes), classes, notes)


def _part(top: Path, inside: set[str], words: tuple[str, ...]) -> _Found | None:
    for word in words:
        if word in inside and (top / word).is_dir():
            return _class_folders(top / word)
        if f"{word}.csv" in inside:
            return _list(top / f"{word}.csv")
    return None


def _divide(found: _Found, share: float, seed: int) -> Parts:
    """Hold out a share of each class."""
    if not 0 < share < 1:
        raise OptionError(f"open_folder: validation must lie between 0 and 1, got {share}")
    classes = _classes(found)
    photos = found.photos(classes)
    counts = np.bincount(photos.labels)
    held_out = max(round(share * len(photos)), len(classes))
    if counts.min() < 2 or len(photos) - held_out < len(classes):
        name = classes[int(counts.argmin())]
        raise OptionError(
            f"{found.path}: of class {name!r} there are too few images to learn from some and test on others: "
            f"{counts.min()}"
        )
    split = import_extra("sklearn.model_selection", "dividing data").train_test_split
    training, validation = split(np.arange(len(photos)), test_size=held_out, stratify=photos.labels, random_state=seed)
    rows = np.sort(training), np.sort(validation)
    return Parts(photos.only(rows[0]), photos.only(rows[1]), classes, found.notes, divided=False)


def _classes(found: _Found) -> tuple[str, ...]:
    classes = tuple(sorted(set(found.names)))
    if len(classes) < 2:
        raise LoadError(found.path, f"holds one class only, {classes[0]!r}: there is nothing to tell apart")
    return classes


def _list(path: Path) -> _Found:
    if not path.exists():
        raise LoadError(path, "there is no such folder or list")
    files, names = zip(*read_list(path), strict=True)
    return _Found(path, list(files), list(names), [])


def _class_folders(top: Path) -> _Found:
    """Find the photos of a folder of folders, one for each class."""
    found = _Found(top, [], [], [])
    folders = sorted(entry for entry in top.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    loose = [entry.name for entry in top.iterdir() if entry.is_file() and entry.suffix.lower() in SUFFIXES]
    if not folders:
        what = f"holds {len(loose)} images, but no folders" if loose else "holds no folders of images"
        raise LoadError(top, f"{what}: the images of each class belong into a folder with the name of the class")
    if loose:
        found.notes.append(f"{top}: not read, since they are in no folder of a class: {_few(sorted(loose))}")
    for folder in folders:
        count, others = len(found.files), []
        for file in _files(folder):
            if file.suffix.lower() in SUFFIXES:
                found.files.append(file)
                found.names.append(folder.name)
            else:
                others.append(str(file.relative_to(folder)))
        if others:
            found.notes.append(f"{folder}: not read, since by their names they are no images: {_few(others)}")
        if len(found.files) == count:
            known = ", ".join(SUFFIXES)
            raise LoadError(folder, f"holds no image ({known}): fill the folder of this class, or take it away")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder in the order of their names; a link that leads back is followed once."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower() not in JUNK:
                yield Path(place, name)


def _few(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


# ------------------------------------------------------------------------------- what cannot be read


def readable(parts: Parts, *, skip: bool = False, workers: int = 2) -> Parts:
    """Try every photo before anything is learnt from them.

    Parameters
    ----------
    parts : Parts
    skip : bool
        Go on without the files that cannot be read; they are counted and listed in the notes.
    workers : int
        Threads.

    Raises
    ------
    LoadError
        If files cannot be read, and ``skip`` is False or no file of a class is left; the message lists all of them.
    """
    notes, kept = list(parts.notes), []
    faults: list[LoadError] = []
    for part in (parts.training, parts.validation):
        found = dict(part.tried(workers)) if isinstance(part, Photos) else {}
        notes += [note for note in found.values() if isinstance(note, str)]
        bad = {row: error for row, error in found.items() if isinstance(error, LoadError)}
        faults += bad.values()
        kept.append(part.only([row for row in range(len(part)) if row not in bad]) if bad else part)
    if faults:
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(fault.path)) for fault in faults])  # type: ignore
        listed = "".join(f"\n  {fault}" for fault in faults)
        count = f"{len(faults)} file{'s' * (len(faults) > 1)}"
        if not skip:
            raise LoadError(folder, f"{count} cannot be read (skip, --skip-unreadable, goes on without):{listed}")
        for part, left in zip((parts.training, parts.validation), kept, strict=True):
            if len(np.unique(left.labels)) < len(np.unique(part.labels)):
                raise LoadError(folder, f"no file of a class is left, since {count} cannot be read:{listed}")
        notes.append(f"{count} cannot be read and were left out:{listed}")
    return replace(parts, training=kept[0], validation=kept[1], notes=notes)
