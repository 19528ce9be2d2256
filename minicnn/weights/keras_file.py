"""Keras' files, all of them HDF5: the older ``.h5``, ``.weights.h5``, and ``.keras``, a zip file with one of those.

Only numbers are read, never the description of the model, which can hold code. Keras itself matches arrays to layers by
their order, since many layers have automatic names, ``conv2d_17``, whose number depends on what was made before. Here
an array is called ``layer/place``, and a layer with an automatic name ``conv2d#17``: the 17th that was made, from 0.

HDF5 lets a dataset be elsewhere, in another file, behind a link or computed; h5py follows all of that. Here whatever
is not in the file itself is refused.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from minicnn.errors import LoadError, import_extra
from minicnn.weights.source import MOST_RATIO, Array, Entry, File, Source, check_size
from minicnn.weights.zip_archive import SLACK, Archive

HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS, CONFIG = "model.weights.h5", "config.json"  # members of a .keras file
DEEPEST = 16  # groups within groups
MOST_LAYERS = 10_000
AUTOMATIC = re.compile(r"(conv2d|batch_normalization|dense|depthwise_conv2d|separable_conv2d)(?:_(\d+))?")
OLDER = {  # what Keras 1 called them
    "convolution2d": "conv2d",
    "batchnormalization": "batch_normalization",
    "separableconvolution2d": "separable_conv2d",
}

Layer = tuple[str, list[tuple[str, Any]]]  # its name, and each array's path and dataset


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
    h5py = import_extra("h5py", "reading Keras' files")
    names: dict[str, str] = {}
    content: Any = file.path
    if archive is not None:
        if WEIGHTS not in archive.members:
            raise file.error(f"a zip file as Keras writes it, but without {WEIGHTS}")
        names = _names_of_groups(archive)
        file = File(file.path, archive.read(WEIGHTS))
        content = io.BytesIO(file.data)
    try:
        root = h5py.File(content, "r")
        layers = list(_legacy(file, root) or _layers(file, root))
        entries = dict(_entries(file, layers, names))
    except LoadError:
        raise
    except Exception as error:  # h5py raises whatever fits: OSError, KeyError, RuntimeError, ValueError, TypeError
        raise file.error(f"a truncated or damaged HDF5 file: {str(error)[:200]}") from None
    if not entries:
        raise file.error("an HDF5 file, but without layers as Keras writes them")
    return Source(file.path, "keras", entries)


def _legacy(file: File, root: Any) -> list[Layer]:
    """Find the layers of an older file, where attributes name them and their arrays in order."""
    if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
        if _kind(root, "model_weights") != "group":
            return []
        root = root["model_weights"]
    layers: list[Layer] = []
    for name in _texts(file, root, "layer_names"):
        group = _get(file, root, name, "group")
        arrays = [
            (f"{name}/{path}", _get(file, group, path, "dataset")) for path in _texts(file, group, "weight_names")
        ]
        if arrays:
            layers.append((name, arrays))
    return layers


def _texts(file: File, group: Any, name: str) -> list[str]:
    """Read a list of names; Keras splits those of more than 64 kB into ``name0``, ``name1``, ..."""
    parts = [name] if name in group.attrs else []
    while not parts or parts[-1] != name:
        part = f"{name}{len(parts)}"
        if part not in group.attrs:
            break
        parts.append(part)
    if not parts:
        raise file.error(f"{group.name} has no {name}")
    values = [value for part in parts for value in np.ravel(group.attrs[part]).tolist()]
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    if not all(isinstance(text, str) for text in texts) or len(texts) > MOST_LAYERS:
        raise file.error(f"{group.name}: {name} is no list of names")
    return texts


def _layers(file: File, root: Any) -> Iterator[Layer]:
    """Find the layers of a ``.weights.h5``: groups with a group ``vars`` of datasets 0, 1, ..."""
    waiting: list[tuple[Any, int]] = [(root, 0)]
    found = 0
    while waiting:
        group, depth = waiting.pop()
        if depth > DEEPEST or found > MOST_LAYERS:
            raise file.error("its groups are nested too deeply, or are too many", group.name)
        below = []
        for name in group:
            if depth == 0 and name == "optimizer":
                continue
            if _kind(group, name) == "elsewhere":
                _get(file, group, name, "group")
            if _kind(group, name) != "group":
                continue
            child = group[name]
            if name != "vars":
                below.append((child, depth + 1))
            elif len(child):
                found += 1
                title = child.attrs.get("name", "")
                places = sorted(child, key=lambda place: (len(place), place))
                arrays = [(f"{child.name}/{place}", _get(file, child, place, "dataset")) for place in places]
                yield title if isinstance(title, str) and title else group.name, arrays
        waiting.extend(below[::-1])


def _kind(group: Any, name: str) -> str:
    """Tell what a name in a group leads to, without following it: a group, a dataset, elsewhere, nothing."""
    h5py = import_extra("h5py", "reading Keras' files")
    link = group.get(name, getlink=True)
    if link is None:
        return "nothing"
    if not isinstance(link, h5py.HardLink):
        return "elsewhere"
    kind = group.get(name, getclass=True)
    return "group" if kind is h5py.Group else "dataset" if kind is h5py.Dataset else "elsewhere"


def _get(file: File, group: Any, path: str, kind: str) -> Any:
    """Follow a path link by link; each must lead to something in this very file."""
    parts = [part for part in path.split("/") if part]
    for place, part in enumerate(parts, 1):
        wanted = kind if place == len(parts) else "group"
        found = _kind(group, part) if part not in (".", "..") else "elsewhere"
        where = f"{group.name}/{part}"
        if found == "elsewhere":
            raise file.error("a link to another place or file, which is not followed", where)
        if found != wanted:
            raise file.error(f"a {wanted} should be here, found {found}", where)
        group = group[part]
    return group


def _entries(file: File, layers: list[Layer], names: dict[str, str]) -> Iterator[tuple[str, Entry]]:
    """Name the arrays, and promise to read them."""
    titles = [names.get(name.rpartition("/")[2], name) for name, _ in layers]
    if any(title.startswith("/") for title in titles):
        raise file.error("has no names of layers, as an older Keras 3 wrote it; they are in a .keras or an .h5 file")
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise file.error(f"has two layers named {twice!r}")
    total = 0
    for (_, arrays), name in zip(layers, canonical(titles), strict=True):
        for place, (path, dataset) in enumerate(arrays):
            size = _check(file, path, dataset)
            check_size(file, path, size, total)
            total += size
            dtype = dataset.dtype.newbyteorder("=")
            yield f"{name}/{place}", Entry(dataset.shape, dtype, partial(_array, file, path, dataset))


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


def _check(file: File, path: str, dataset: Any) -> int:
    """Refuse what is no plain array of numbers within the file; return its size in bytes."""
    if dataset.is_virtual or dataset.external:
        raise file.error("its numbers are in another place or file, which is not opened", path)
    if dataset.dtype.kind not in "fiu" or dataset.shape is None or len(dataset.shape) > 8:
        raise file.error(f"holds {dataset.dtype}, and only numbers are read", path)
    size: int = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if size > MOST_RATIO * stored + SLACK:
        raise file.error(f"a bomb: {stored:,} bytes would become {size:,}", path)
    if stored > len(file.data):
        raise file.error(f"truncated: {stored:,} bytes are declared, the file has {len(file.data):,}", path)
    return size


def _array(file: File, path: str, dataset: Any) -> Array:
    try:
        numbers: Array = dataset[()]
    except Exception as error:  # a checksum or a filter that fails, a chunk that is not there
        raise file.error(f"a truncated or damaged HDF5 file: {str(error)[:200]}", path) from None
    return np.asarray(numbers, numbers.dtype.newbyteorder("="), order="C")
