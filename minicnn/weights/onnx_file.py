"""ONNX: a protocol buffer whose graph has initialisers, which are the weights, by name.

The fields are those of ``onnx/onnx.proto``. Only initialisers are read, never the graph: names must be those that the
network had, as ``torch.onnx.export`` keeps them where no batch norm was folded into a convolution.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.weights.protobuf import Message
from minicnn.weights.source import Array, Entry, File, Source, decode, dtype_of

GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, FLOATS, NAME, RAW, DOUBLES, EXTERNAL, LOCATION = 1, 2, 4, 8, 9, 10, 13, 14  # of TensorProto
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
TYPED = {1: FLOATS, 11: DOUBLES}  # data types that may lie in a field of their own


def looks_like(file: File) -> bool:
    """Tell whether bytes are an ONNX model: a version first, and a graph."""
    return file.data[0] == 8 and bool(Message(file, file.data, "the model").bytes(GRAPH))


def read(file: File) -> Source:
    """Read the initialisers of an ONNX model.

    Raises
    ------
    LoadError
        If the file is damaged, or keeps its numbers in another file.
    """
    model = Message(file, file.data, "the model")
    entries: dict[str, Entry] = {}
    for graph in model.messages(GRAPH, "the graph"):
        for tensor in graph.messages(INITIALIZER, "an initialiser"):
            name = tensor.text(NAME)
            if name in entries:
                raise file.error(f"has two initialisers named {name!r}")
            entries[name] = _entry(file, name, tensor)
    if not entries:
        raise file.error("an ONNX model without initialisers, that is without weights")
    return Source(file.path, "onnx", entries)


def _entry(file: File, name: str, tensor: Message) -> Entry:
    shape, kind = tuple(tensor.integers(DIMS)), tensor.integer(DATA_TYPE)
    if tensor.integer(LOCATION) or tensor.bytes(EXTERNAL):
        raise file.error(f"{name}: its numbers are in another file, which is not opened; save the model in one file")
    if kind not in DTYPES:
        raise file.error(f"{name}: data type {kind} is not read")
    dtype = DTYPES[kind]
    if len(shape) > 8 or min(shape, default=0) < 0:
        raise file.error(f"{name}: shape {shape} is no tensor's")
    size = np.dtype(np.uint16 if dtype == "bfloat16" else dtype).itemsize
    field = RAW if tensor.bytes(RAW) else TYPED.get(kind, RAW)
    if math.prod(shape) * size != tensor.size(field):
        raise file.error(f"{name}: shape {shape} of {dtype} does not fit to {tensor.size(field):,} bytes")

    def read_array() -> Array:
        return decode(tensor.numbers(field, "u1").data, dtype).reshape(shape)

    return Entry(shape, dtype_of(dtype), read_array)
