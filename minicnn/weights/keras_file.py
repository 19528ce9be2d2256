"""Keras' files, all of them HDF5: the older ``.h5``, ``.weights.h5``, and ``.keras``, a zip file with one of those.

Only numbers are read, never the description of the model, which can hold code. Keras itself matches arrays to layers by
their order, since many layers have automatic names, ``conv2d_17``, whose number depends on what was made before. Here
an array is called ``layer/place``, and a layer with an automatic name ``conv2d#17``: the 17th that was made, from 0.

Another process looks into the file (see ``hdf5_child``); we read the numbers where it says that they are.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import import_extra
from minicnn.weights import hdf5_child
from minicnn.weights.source import Array, Entry, File, Shape, Source
from minicnn.weights.zip_archive import Archive

HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS, CONFIG = "model.weights.h5", "config.json"  # members of a .keras file
PATIENCE = 60.0  # seconds; the child's own limit is on the time that it computes
AUTOMATIC = re.compile(r"(conv2d|batch_normalization|dense|depthwise_conv2d|separable_conv2d)(?:_(\d+))?")
OLDER = {  # what Keras 1 called them
    "convolution2d": "conv2d",
    "batchnormalization": "batch_normalization",
    "separableconvolution2d": "separable_conv2d",
}


def read(file: File, archive: Archive | None = None) -> Source:
    """Read a Keras file.

    Parameters
    ----------
    file : File
    archive : Archive, optional
        The file as a zip file, if it is a ``.keras``.

    Raises
    ------
    LoadError
        If the file is damaged, holds no layers as Keras writes them, or points to something outside itself.
    MissingExtraError
        If h5py is not installed.
    """
    if find_spec("h5py") is None:
        import_extra("h5py", "reading Keras' files")
    names: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="minicnn-") as folder:
        path, start = Path(file.path), 0
        if archive is not None:
            if WEIGHTS not in archive.members:
                raise file.error(f"a zip file as Keras writes it, but without {WEIGHTS}")
            names = _names_of_groups(archive)
            start = archive.offset(WEIGHTS)
            file = File(file.path, archive.read(WEIGHTS))
            if start < 0:  # it is packed, so that no part of the file is it
                path, start = Path(folder) / "weights.h5", 0
                path.write_bytes(file.data)
        unpacked = Path(folder) / "unpacked"
        told = _look(file, path, start, unpacked)
        entries = entries_of(file, told, unpacked.read_bytes(), names)
    return Source(file.path, "keras", entries)


def _look(file: File, path: Path, start: int, unpacked: Path) -> dict[str, Any]:
    """Let another process tell what is in the part of a file that starts at ``start``."""
    unpacked.touch()
    command: list[str | Path] = [
        sys.executable,
        "-P",
        "-W",
        "ignore",
        hdf5_child.__file__,
        path,
        str(start),
        str(len(file.data)),
        unpacked,
    ]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise file.error("a damaged HDF5 file: reading it does not come to an end") from None
    if ran.returncode:
        ended = f"signal {-ran.returncode}" if ran.returncode < 0 else ran.stderr.decode("utf-8", "replace")[-200:]
        raise file.error(f"a damaged HDF5 file: reading it ran out of time or memory, or failed ({ended})")
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def entries_of(file: File, told: dict[str, Any], unpacked: bytes, names: dict[str, str]) -> dict[str, Entry]:
    """Name the arrays that ``hdf5_child.describe`` found, and promise to read them.

    Parameters
    ----------
    file : File
        Of the HDF5 file alone.
    told : dict
    unpacked : bytes
        What was packed in the file.
    names : dict of group to layer
        If the groups of the file have no names.

    Raises
    ------
    LoadError
        If the file was refused, or has no layers, or two of one name.
    """
    if "error" in told:
        raise file.error(told["error"], told["where"])
    layers = told["layers"]
    titles = [names.get(name.rpartition("/")[2], name) if name.startswith("/") else name for name, _ in layers]
    if any(title.startswith("/") for title in titles):
        raise file.error("has no names of layers, as an older Keras 3 wrote it; they are in a .keras or an .h5 file")
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise file.error(f"has two layers named {twice!r}")
    entries: dict[str, Entry] = {}
    for (_, arrays), name in zip(layers, canonical(titles), strict=True):
        for place, row in enumerate(arrays):
            shape, dtype = tuple(row["shape"]), np.dtype(row["dtype"])
            size = math.prod(shape) * dtype.itemsize
            data = file.data if "at" in row else memoryview(unpacked)
            start = row["at"] if "at" in row else row["unpacked_at"]
            if start + size > len(data):
                raise file.error(f"truncated: {size:,} bytes from byte {start:,} on are declared", row["path"])
            read = partial(_array, data[start : start + size], shape, dtype)
            entries[f"{name}/{place}"] = Entry(shape, dtype.newbyteorder("="), read)
    if not entries:
        raise file.error("an HDF5 file, but without layers as Keras writes them")
    return entries


def _array(data: memoryview, shape: Shape, dtype: np.dtype[Any]) -> Array:
    return np.require(np.frombuffer(data, dtype).reshape(shape), dtype.newbyteorder("="), "C")


def canonical(names: list[str]) -> list[str]:
    """Replace automatic names by what they mean: the how-manieth layer of its kind.

    Examples
    --------
    >>> canonical(["conv2d_9", "fc", "conv2d_7", "dense_1"])
    ['conv2d#1', 'fc', 'conv2d#0', 'dense#0']
    """
    kinds: dict[str, list[int]] = {}
    found = []
    for name in names:
        stem, _, number = name.rpartition("_")
        renewed = f"{OLDER[stem]}_{number}" if stem in OLDER else OLDER.get(name, name)
        match = AUTOMATIC.fullmatch(renewed)
        found.append(match)
        if match:
            kinds.setdefault(match[1], []).append(int(match[2] or 0))
    ranks = {kind: {number: rank for rank, number in enumerate(sorted(numbers))} for kind, numbers in kinds.items()}
    return [f"{m[1]}#{ranks[m[1]][int(m[2] or 0)]}" if m else name for name, m in zip(names, found, strict=True)]


def _names_of_groups(archive: Archive) -> dict[str, str]:
    """Read in a ``.keras`` file's description what the layers are called; nothing else of it is looked at.

    Before version 3.8 or so, Keras called the groups of its arrays by class and number: ``conv2d``, ``conv2d_1``, ...
    """
    names: dict[str, str] = {}
    seen: Counter[str] = Counter()
    try:
        for layer in json.loads(bytes(archive.read(CONFIG)))["config"]["layers"]:
            kind = re.sub(r"(?<=.)([A-Z][a-z]+)|(?<=[a-z])([A-Z])", r"_\g<0>", layer["class_name"]).lower()
            names[f"{kind}_{seen[kind]}" if seen[kind] else kind] = str(layer["config"]["name"])
            seen[kind] += 1
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return names
