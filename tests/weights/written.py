"""Files of weights put together by hand, byte by byte where it matters, so that they can also be wrong."""

import io
import struct
import zipfile

import numpy as np

# ----------------------------------------------------------------------------------------- pickles, opcode by opcode

STOP = b"."
DTYPES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "i8": "LongStorage", "u1": "ByteStorage"}


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + b"R"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    return group(text("storage"), name("torch", kind), text(key), text("cpu"), integer(count)) + b"Q"


def tensor(key="0", shape=(2, 3), strides=None, offset=0, count=None, kind="FloatStorage") -> bytes:
    if strides is None:
        strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    held = storage(key, int(np.prod(shape)) if count is None else count, kind)
    sizes = (group(*map(integer, numbers)) for numbers in (shape, strides))
    hooks = call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), held, integer(offset), *sizes, b"\x89", hooks)


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + STOP


# ----------------------------------------------------------------------------------------- containers


def zipped(members, packed=False) -> bytes:
    """Pack (name, bytes) pairs, of which a name may come twice."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for member, data in members:
            archive.writestr(zipfile.ZipInfo(member), data, method)
    return buffer.getvalue()


def torch_zip(value: bytes, storages=None, others=()) -> bytes:
    """Return a file of torch from 1.6 on: ``value`` is what its pickle has between PROTO and STOP."""
    if storages is None:
        storages = {"0": np.arange(6, dtype="<f4")}
    members = [("archive/data.pkl", pickled(value)), ("archive/byteorder", b"little")]
    members += [(f"archive/data/{key}", np.asarray(array).tobytes()) for key, array in storages.items()]
    return zipped([*members, *others])


def torch_stream(value: bytes, storages=None, keys=None) -> bytes:
    """Return a file of torch before 1.6."""
    if storages is None:
        storages = {"0": np.arange(6, dtype="<f4")}
    magic = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
    system = mapping(little_endian=b"\x88", protocol_version=b"M" + struct.pack("<H", 1001))
    listed = b"](" + b"".join(map(text, storages if keys is None else keys)) + b"e"
    head = b"".join(map(pickled, (magic, b"M" + struct.pack("<H", 1001), system, value, listed)))
    return head + b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())


def state(**arrays) -> tuple[bytes, dict]:
    """Return the pickle of a state dict and its storages, one for each array."""
    kinds = {key: DTYPES[array.dtype.str[1:]] for key, array in arrays.items()}
    value = mapping(**{key: tensor(key, array.shape, kind=kinds[key]) for key, array in arrays.items()})
    return value, arrays


# ----------------------------------------------------------------------------------------- protocol buffers


def message(fields: dict[int, object]) -> bytes:
    """Write ints, text, bytes, arrays, and lists of them by the number of their field."""
    written = b""
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                written += varint(number << 3) + varint(value)
                continue
            data = value.encode() if isinstance(value, str) else bytes(value)
            written += varint(number << 3 | 2) + varint(len(data)) + data
    return written


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    written = b""
    while value > 0x7F:
        written, value = written + bytes([value & 0x7F | 0x80]), value >> 7
    return written + bytes([value])


def caffemodel(layers: dict[str, list[np.ndarray]], *, first_version: bool = False, title: str = "net") -> bytes:
    """Write layers as Caffe does: today's (field 100, shapes), or V1 (field 2, four sizes)."""
    written = {1: title, 2 if first_version else 100: []}
    for layer, arrays in layers.items():
        blobs = []
        for array in arrays:
            data = np.ascontiguousarray(array, "<f4").tobytes()
            if first_version:
                sizes = (*[1] * (4 - array.ndim), *array.shape)
                blobs.append(message({**dict(zip((1, 2, 3, 4), sizes, strict=True)), 5: data}))
            else:
                blobs.append(message({7: message({1: b"".join(map(varint, array.shape))}), 5: data}))
        fields = {4: layer, 5: 4, 6: blobs} if first_version else {1: layer, 2: "Convolution", 7: blobs}
        written[2 if first_version else 100].append(message(fields))
    return message(written)


def onnx(arrays: dict[str, np.ndarray]) -> bytes:
    """Write initialisers as torch.onnx.export does: raw bytes."""
    kinds = {"float32": 1, "float64": 11, "int64": 7, "float16": 10}
    tensors = [
        message({1: list(array.shape), 2: kinds[array.dtype.name], 8: key, 9: array.tobytes()})
        for key, array in arrays.items()
    ]
    return message({1: 8, 2: "pytorch", 7: message({5: tensors, 2: "main"})})
