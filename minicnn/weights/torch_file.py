"""PyTorch's files, ``.pth .pt .th .ckpt``: the zip container, and the stream of torch before 1.6."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from minicnn.weights.pickle_stream import ADVICE, Storage, TensorAt, parse
from minicnn.weights.source import DTYPES, Array, Entry, File, Source, decode, dtype_of
from minicnn.weights.zip_archive import Archive

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how a file of torch before 1.6 starts: the pickle of MAGIC
# Where a checkpoint keeps the network, most telling first; and what wrappers write before every name.
NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
PREFIXES = ("module", "_orig_mod", "model", "net", "network")


def read_zip(file: File, archive: Archive) -> Source:
    """Read what ``torch.save`` writes since 1.6: a pickle, and each storage as a member of the zip file.

    Raises
    ------
    LoadError
        If the file is damaged, holds code, or no tensors.
    """
    tops = {name.partition("/")[0] for name in archive.members}
    pickles = [name for name in archive.members if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1 or len(tops) != 1:
        raise file.error("a zip file, but not as torch writes it: one folder with data.pkl in it")
    top = pickles[0].partition("/")[0]
    if f"{top}/constants.pkl" in archive.members:
        raise file.error(f"a TorchScript program, and that is code{ADVICE}")
    order = "little"
    if f"{top}/byteorder" in archive.members:
        order = bytes(archive.read(f"{top}/byteorder")).decode("ascii", "replace")
    if order not in ("little", "big"):
        raise file.error(f"the byte order {order!r} is unknown", f"{top}/byteorder")
    pickle = archive.read(pickles[0])
    value, end = parse(file, pickle, name=pickles[0])
    if end != len(pickle):
        raise file.error(f"{pickles[0]} goes on after its end", f"byte {end}")

    def storage(at: TensorAt) -> str:
        name = f"{top}/data/{at.storage.key}"
        if name not in archive.members:
            raise file.error(f"the storage {name} is missing")
        _check_length(file, name, archive.members[name].file_size, at)
        return name

    notes: list[str] = []
    entries = {}
    for name, at in _state(file, value, notes).items():
        member = storage(at)
        entries[name] = _entry(file, name, at, lambda member=member: archive.read(member), order)
    storages = [info for name, info in archive.members.items() if name.startswith(f"{top}/data/")]
    without = [info for info in storages if info.CRC == 0 and info.file_size]
    if without:
        notes.append(f"{len(without)} storages have no checksum, so damage to them cannot be seen")
    return Source(file.path, "torch", entries, notes=notes)


def read_legacy(file: File) -> Source:
    """Read what ``torch.save`` wrote before 1.6: five pickles one after the other, then the storages.

    Raises
    ------
    LoadError
        If the file is damaged, holds code, or no tensors.
    """
    magic, at = parse(file, file.data, 0, name="the first pickle")
    protocol, at = parse(file, file.data, at, name="the second pickle")
    system, at = parse(file, file.data, at, name="the third pickle")
    value, at = parse(file, file.data, at, name="the fourth pickle")
    keys, at = parse(file, file.data, at, name="the fifth pickle")
    if magic != MAGIC or protocol != 1001 or type(system) is not dict or type(keys) is not list:
        raise file.error("a pickle, but not as torch writes it")
    order = "little" if system.get("little_endian", True) else "big"
    notes: list[str] = []
    state = _state(file, value, notes)
    roots = _storages(value)
    begins: dict[str, tuple[int, int]] = {}
    for key in keys:
        if type(key) is not str or key not in roots or key in begins:
            raise file.error(f"the list of storages has {key!r}, which no tensor has, or which stands there twice")
        (count,) = struct.unpack("<q", file.part(at, at + 8, f"storage {key}"))
        size = DTYPES[roots[key].dtype or "uint8"].itemsize
        if count < 0 or count * size > len(file.data):
            raise file.error(f"truncated: storage {key} has {count:,} numbers, the file {len(file.data):,} bytes")
        begins[key] = (at + 8, at + 8 + count * size)
        at = begins[key][1]
        file.part(*begins[key], f"storage {key}")
    if at != len(file.data):
        raise file.error(f"goes on for {len(file.data) - at:,} bytes after the last storage", f"byte {at}")

    def storage(tensor: TensorAt) -> memoryview:
        root, skipped = tensor.storage.view or (tensor.storage.key, 0)
        if root not in begins:
            raise file.error(f"the storage {root} is missing")
        start, stop = begins[root]
        start += skipped * DTYPES[tensor.dtype].itemsize
        return file.data[start:stop]

    entries = {}
    for name, tensor in state.items():
        data = storage(tensor)
        _check_length(file, f"storage {tensor.storage.key}", len(data), tensor, exact=tensor.storage.view is None)
        entries[name] = _entry(file, name, tensor, lambda data=data: data, order)
    return Source(file.path, "torch", entries, notes=notes)


def _storages(value: Any) -> dict[str, Storage]:
    """Find every storage below a value by its key; where one is a view, that which it looks at."""
    found: dict[str, Storage] = {}
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, (dict, list, tuple)):
            waiting.extend(item.values() if isinstance(item, dict) else item)
        elif isinstance(item, TensorAt):
            found[(item.storage.view or (item.storage.key,))[0]] = item.storage
        elif isinstance(item, Storage):
            found.setdefault((item.view or (item.key,))[0], item)
    return found


def _state(file: File, value: Any, notes: list[str]) -> dict[str, TensorAt]:
    """Find the network's tensors, at the top or in a checkpoint, and take the wrappers' prefixes off their names."""
    if type(value) is not dict:
        raise file.error(f"holds a {type(value).__name__}, not a dict of tensors{ADVICE}")
    place = ""
    if not any(type(item) is TensorAt for item in value.values()):
        nests = {
            key: item
            for key, item in value.items()
            if type(item) is dict and any(type(leaf) is TensorAt for leaf in item.values())
        }
        chosen = next((key for key in NESTS if key in nests), None)
        if chosen is None and len(nests) == 1:
            chosen = next(iter(nests))
        if chosen is None:
            raise file.error(f"holds no dict of tensors under a known key ({', '.join(NESTS)}), but {_listed(value)}")
        others = [str(key) for key in value if key != chosen]
        if others:
            notes.append(f"took {chosen!r} of a checkpoint, and left {_listed(others)}")
        value, place = nests[chosen], f"{chosen}: "
    state = {}
    for key, item in value.items():
        if type(item) is TensorAt and type(key) is str:
            state[key] = item
        elif key != "_metadata":
            notes.append(f"{place}{key!r} is no tensor and was left aside")
    while True:
        first, dot, _ = next(iter(state), "").partition(".")
        if not dot or first not in PREFIXES or not all(name.startswith(f"{first}.") for name in state):
            return state
        notes.append(f"every name started with {first + '.'!r}, which was taken off")
        state = {name.removeprefix(f"{first}."): item for name, item in state.items()}


def _listed(keys: Any) -> str:
    texts = [repr(key)[:40] for key in keys]
    return ", ".join(texts[:8]) + (f", ... ({len(texts)} in all)" if len(texts) > 8 else "") or "nothing"


def _check_length(file: File, name: str, length: int, at: TensorAt, *, exact: bool = True) -> None:
    """A storage must have the bytes that the pickle says, no more and no less."""
    size = DTYPES[at.storage.dtype or "uint8"].itemsize
    if length != at.storage.count * size and (exact or length < at.storage.count * size):
        raise file.error(f"{name} should have {at.storage.count:,} numbers of {size} bytes, it has {length:,} bytes")


def _entry(file: File, name: str, at: TensorAt, raw: Any, order: str) -> Entry:
    """Check that a tensor lies within its storage, and promise to read it."""
    size = DTYPES[at.dtype].itemsize
    numbers, odd = (at.storage.count, 0) if at.storage.dtype else divmod(at.storage.count, size)
    if odd or (at.storage.dtype and size != DTYPES[at.storage.dtype].itemsize):
        raise file.error(f"{name}: numbers of {size} bytes do not fit into its storage")
    count = math.prod(at.shape)
    if len(at.shape) > 8 or len(at.shape) != len(at.strides) or min((at.offset, *at.shape, *at.strides)) < 0:
        raise file.error(f"{name}: shape {at.shape}, strides {at.strides}, offset {at.offset} are no tensor's")
    last = at.offset + sum((n - 1) * step for n, step in zip(at.shape, at.strides, strict=True))
    if count and last >= numbers:
        raise file.error(f"{name}: shape {at.shape} reaches number {last:,} of a storage of {numbers:,}")
    if count > numbers:
        raise file.error(f"{name}: shape {at.shape} repeats numbers of a storage of {numbers:,}")
    return Entry(at.shape, dtype_of(at.dtype), lambda: _array(at, decode(raw(), at.dtype, byteorder=order)))


def _array(at: TensorAt, numbers: Array) -> Array:
    """Cut a tensor out of its storage; where its elements do not lie side by side, a copy."""
    steps = [step * numbers.itemsize for step in at.strides]
    if not math.prod(at.shape):
        return np.zeros(at.shape, numbers.dtype)
    view = np.lib.stride_tricks.as_strided(numbers[at.offset :], at.shape, steps, writeable=False)
    return np.asarray(view, order="C")
