"""Caffe's ``.caffemodel``: a protocol buffer of layers, each with a name and a few arrays ("blobs").

The fields are those of ``caffe/src/caffe/proto/caffe.proto``. An array is called ``layer/place`` here: the filters of
``conv1`` are ``conv1/0``, its biases ``conv1/1``.
"""

from __future__ import annotations

import math

import numpy as np

from minicnn.weights.protobuf import Message
from minicnn.weights.source import Array, Entry, File, Source

NET_NAME, NET_LAYERS_V1, NET_LAYERS = 1, 2, 100
NAME, BLOBS = 1, 7  # of LayerParameter
V0_LAYER, NAME_V1, BLOBS_V1 = 1, 4, 6  # of V1LayerParameter; V0 was a message within it
NUM, CHANNELS, HEIGHT, WIDTH, DATA, SHAPE, DOUBLES = 1, 2, 3, 4, 5, 7, 8  # of BlobProto
SHAPE_DIM = 1


def read(file: File) -> Source:
    """Read a ``.caffemodel``, of today's layers or of those that Caffe calls V1.

    Raises
    ------
    LoadError
        If the file is damaged or has no arrays.
    """
    net = Message(file, file.data, "the network")
    entries: dict[str, Entry] = {}
    layers = [(layer, NAME, BLOBS) for layer in net.messages(NET_LAYERS, "a layer")]
    layers += [(layer, NAME_V1, BLOBS_V1) for layer in net.messages(NET_LAYERS_V1, "a layer")]
    for layer, name_field, blobs_field in layers:
        name = layer.text(name_field)
        if name_field == NAME_V1 and layer.bytes(V0_LAYER):
            raise file.error("has the layers of Caffe's first version: Caffe's upgrade_net_proto_binary renews it")
        for place, blob in enumerate(layer.messages(blobs_field, f"an array of layer {name!r}")):
            key = f"{name}/{place}"
            if key in entries:
                raise file.error(f"has two layers named {name!r}")
            entries[key] = _entry(file, key, blob)
    if not entries:
        raise file.error("holds no layer with weights")
    title = net.text(NET_NAME)
    return Source(file.path, "caffe", entries, notes=[f"the file calls its network {title!r}"] if title else [])


def _entry(file: File, key: str, blob: Message) -> Entry:
    shape = tuple(blob.messages(SHAPE, "a shape")[-1].integers(SHAPE_DIM)) if blob.bytes(SHAPE) else ()
    if not shape and any(blob.fields.get(field) for field in (NUM, CHANNELS, HEIGHT, WIDTH)):
        shape = tuple(blob.integer(field, 1) for field in (NUM, CHANNELS, HEIGHT, WIDTH))
    field, dtype = (DATA, "<f4") if blob.bytes(DATA) else (DOUBLES, "<f8")
    itemsize = np.dtype(dtype).itemsize
    if not shape:
        shape = (blob.size(field) // itemsize,)
    if len(shape) > 8 or min(shape) < 0 or math.prod(shape) * itemsize != blob.size(field):
        raise file.error(f"{key}: shape {shape} does not fit to {blob.size(field):,} bytes")
    native = np.dtype(dtype).newbyteorder("=")

    def read_array() -> Array:
        numbers = blob.numbers(field, dtype).reshape(shape)
        return np.require(numbers, native, ["C"])

    return Entry(shape, native, read_array)
