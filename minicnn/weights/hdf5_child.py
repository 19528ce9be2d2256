"""The only code that runs libhdf5: a program of its own, which tells in JSON what a Keras file holds.

HDF5 is read by a large library in C that trusts what it reads: a few changed bytes are enough to keep it busy for ever
(seen), or to ask for 128 GB (seen). In a process of its own, with limits, the worst is that this process ends. It
tells where in the file the numbers are, and ``keras_file`` reads them there; what is packed it unpacks into another
file.

HDF5 also lets a dataset be elsewhere, in another file, behind a link or computed, and h5py follows all of that. Here
whatever is not in the file itself is refused.

Usage: python hdf5_child.py FILE START SIZE UNPACKED, where the HDF5 file is a part of FILE.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any

DEEPEST = 16  # groups within groups
MOST_LAYERS = 10_000
MOST_RATIO, SLACK = 100, 1 << 20  # unpacked to packed; small arrays may pack well
MEMORY, SECONDS = 2 << 30, 3  # to look; unpacking may take more

Layer = tuple[str, list[tuple[str, Any]]]  # its name, and each array's path and dataset


class Refused(Exception):  # noqa: N818 - it is an answer and no error of this program's
    """What is wrong with the file, and where in it."""


def describe(content: Any, size: int, unpacked: Any) -> dict[str, Any]:
    """Tell what a Keras file holds.

    Parameters
    ----------
    content : path or file
    size : int
        Of the HDF5 file, in bytes.
    unpacked : file
        To write the numbers of packed arrays to.

    Returns
    -------
    dict
        ``layers``: pairs of a name and a list of arrays, each a dict of ``path``, ``shape``, ``dtype``, and ``at``, its
        first byte in the file, or ``unpacked_at``, in the other file. Or ``error`` and ``where``.
    """
    try:
        import h5py

        root = h5py.File(content, "r")
        layers = _legacy(root) or list(_layers(root))
        return {"layers": [[name, [_array(path, d, size, unpacked) for path, d in arrays]] for name, arrays in layers]}
    except Refused as refused:
        what, *where = refused.args
        return {"error": what, "where": where[0] if where else ""}
    except Exception as error:  # h5py raises whatever fits: OSError, KeyError, RuntimeError, ValueError, TypeError
        return {"error": f"a truncated or damaged HDF5 file: {str(error)[:200]}", "where": ""}


def _legacy(root: Any) -> list[Layer]:
    """Find the layers of an older file, where attributes name them and their arrays in order."""
    if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
        if _kind(root, "model_weights") != "group":
            return []
        root = root["model_weights"]
    layers: list[Layer] = []
    for name in _texts(root, "layer_names"):
        group = _get(root, name, "group")
        arrays = [(f"{name}/{path}", _get(group, path, "dataset")) for path in _texts(group, "weight_names")]
        if arrays:
            layers.append((name, arrays))
    return layers


def _texts(group: Any, name: str) -> list[str]:
    """Read a list of names; Keras splits those of more than 64 kB into ``name0``, ``name1``, ..."""
    parts = [name] if name in group.attrs else []
    while not parts or parts[-1] != name:
        part = f"{name}{len(parts)}"
        if part not in group.attrs:
            break
        parts.append(part)
    if not parts:
        raise Refused(f"{group.name} has no {name}")
    values = [value for part in parts for value in group.attrs[part].ravel().tolist()]
    texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    if not all(isinstance(text, str) for text in texts) or len(texts) > MOST_LAYERS:
        raise Refused(f"{group.name}: {name} is no list of names")
    return texts


def _layers(root: Any) -> Iterator[Layer]:
    """Find the layers of a ``.weights.h5``: groups with a group ``vars`` of datasets 0, 1, ..."""
    waiting: list[tuple[Any, int]] = [(root, 0)]
    found = 0
    while waiting:
        group, depth = waiting.pop()
        if depth > DEEPEST or found > MOST_LAYERS:
            raise Refused("its groups are nested too deeply, or are too many", group.name)
        below = []
        for name in group:
            if depth == 0 and name == "optimizer":
                continue
            if _kind(group, name) == "elsewhere":
                _get(group, name, "group")
            if _kind(group, name) != "group":
                continue
            child = group[name]
            if name != "vars":
                below.append((child, depth + 1))
            elif len(child):
                found += 1
                title = child.attrs.get("name", "")
                places = sorted(child, key=lambda place: (len(place), place))
                arrays = [(f"{child.name}/{place}", _get(child, place, "dataset")) for place in places]
                yield title if isinstance(title, str) and title else group.name, arrays
        waiting.extend(below[::-1])


def _kind(group: Any, name: str) -> str:
    """Tell what a name in a group leads to, without following it: a group, a dataset, elsewhere, nothing."""
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return "nothing"
    if not isinstance(link, h5py.HardLink):
        return "elsewhere"
    kind = group.get(name, getclass=True)
    return "group" if kind is h5py.Group else "dataset" if kind is h5py.Dataset else "elsewhere"


def _get(group: Any, path: str, kind: str) -> Any:
    """Follow a path link by link; each must lead to something in this very file."""
    parts = [part for part in path.split("/") if part]
    for place, part in enumerate(parts, 1):
        wanted = kind if place == len(parts) else "group"
        found = _kind(group, part) if part not in (".", "..") else "elsewhere"
        where = f"{group.name}/{part}"
        if found == "elsewhere":
            raise Refused("a link to another place or file, which is not followed", where)
        if found != wanted:
            raise Refused(f"a {wanted} should be here, found {found}", where)
        group = group[part]
    return group


def _array(path: str, dataset: Any, size: int, unpacked: Any) -> dict[str, Any]:
    """Refuse what is no plain array of numbers within the file; tell where its numbers are."""
    import h5py

    if dataset.is_virtual or dataset.external:
        raise Refused("its numbers are in another place or file, which is not opened", path)
    dtype = dataset.dtype
    if dtype.kind not in "fiu" or dtype.itemsize > 8 or dataset.shape is None or len(dataset.shape) > 8:
        raise Refused(f"holds {dtype}, and only numbers are read", path)
    count = math.prod(dataset.shape) * dtype.itemsize
    stored = dataset.id.get_storage_size()
    if count > MOST_RATIO * stored + SLACK:
        raise Refused(f"a bomb: {stored:,} bytes would become {count:,}", path)
    if stored > size:
        raise Refused(f"truncated: {stored:,} bytes are declared, the file has {size:,}", path)
    told = {"path": path, "shape": list(dataset.shape), "dtype": dtype.str}
    at = dataset.id.get_offset()  # None if the numbers are packed, or do not lie in one piece
    if at is not None and h5py.h5t.py_create(dtype).equal(dataset.id.get_type()):
        return {**told, "at": at}
    _limit(MEMORY + 2 * count, SECONDS + count // 10**8)
    told["unpacked_at"] = unpacked.tell()
    unpacked.write(dataset[()].tobytes())
    return told


def _limit(memory: int, seconds: int) -> None:
    """Let the system end this process when it takes too much; Windows has no such word."""
    try:
        import resource
    except ImportError:
        return
    for kind, soft in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


class Part(io.RawIOBase):
    """A part of a file, as a file that can only be read."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self.file = os.open(path, os.O_RDONLY)
        self.start, self.size, self.at = start, size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of the part."""
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def tell(self) -> int:
        """Return the byte that is read next."""
        return self.at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the part goes."""
        os.lseek(self.file, self.start + self.at, os.SEEK_SET)
        read = os.read(self.file, max(min(len(buffer), self.size - self.at), 0))
        buffer[: len(read)] = read
        self.at += len(read)
        return len(read)


def main() -> None:
    """Describe the file that the command line names."""
    path, start, size, unpacked = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    import h5py  # noqa: F401 - what it needs for itself is not to be taken for what the file makes it do

    _limit(MEMORY, SECONDS)
    with open(unpacked, "wb") as other:
        told = describe(Part(path, start, size), size, other)
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # a damaged file may be in a state in which closing it fails


if __name__ == "__main__":
    main()
