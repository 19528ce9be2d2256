"""Sound files of every kind: what was written is what is read, and nothing is read before it is asked for."""

import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
import safetensors.numpy

from minicnn import weights
from minicnn.errors import LoadError, MissingExtraError
from weights import written
from weights.written import call, group, integer, mapping, name, tensor, text, torch_stream, torch_zip

RNG = np.random.default_rng(0)


@pytest.fixture
def opened(tmp_path):
    """Write bytes to a file and open it."""

    def write_and_open(data, called="weights.bin"):
        (tmp_path / called).write_bytes(data)
        return weights.open(tmp_path / called)

    return write_and_open


def arrays_of(source):
    return {key: entry.read() for key, entry in source.items()}


def assert_read(source, expected):
    assert list(source) == list(expected)
    for key, array in expected.items():
        entry = source[key]
        assert (entry.shape, entry.dtype) == (array.shape, array.dtype)
        read = entry.read()
        np.testing.assert_array_equal(read, array, strict=True)
        assert read.flags.c_contiguous


ARRAYS = {
    "single": RNG.standard_normal((2, 3)).astype("f4"),
    "double": RNG.standard_normal(5),
    "half": RNG.standard_normal((1, 2, 2)).astype("f2"),
    "count": np.array(7, "i8"),
    "bytes": np.arange(4, dtype="u1"),
}


@pytest.mark.parametrize("container", [torch_zip, torch_stream])
def test_torch(opened, container):
    source = opened(container(*written.state(**ARRAYS)))
    assert source.format == "torch"
    assert_read(source, ARRAYS)


@pytest.mark.parametrize("container", [torch_zip, torch_stream])
@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ((2, 3), (3, 1), 0, [[0, 1, 2], [3, 4, 5]]),
        ((3, 2), (1, 3), 0, [[0, 3], [1, 4], [2, 5]]),  # transposed
        ((2, 2), (3, 1), 1, [[1, 2], [4, 5]]),  # cut out of the middle
        ((3,), (2,), 1, [1, 3, 5]),
        ((), (), 4, 4),
        ((0, 4), (4, 1), 0, np.zeros((0, 4))),
    ],
)
def test_views_of_a_storage_of_torch(opened, container, shape, strides, offset, expected):
    source = opened(container(mapping(a=tensor("0", shape, strides, offset, count=6))))
    assert_read(source, {"a": np.asarray(expected, "f4")})


def test_tensors_that_share_a_storage(opened):
    value = mapping(a=tensor("0", (2, 3)), b=tensor("0", (3,), (1,), 3, count=6))
    read = arrays_of(opened(torch_zip(value)))
    np.testing.assert_array_equal(read["b"], read["a"][1])


def test_bfloat16_becomes_float32(opened):
    upper = np.array([0x3F80, 0xC000, 0x7F80, 0x0001], "<u2")
    source = opened(torch_zip(mapping(a=tensor("0", (4,), kind="BFloat16Storage")), {"0": upper}))
    assert_read(source, {"a": np.array([1.0, -2.0, np.inf, 2.0**-133], "f4")})


def test_untyped_storages(opened):
    """float8 aside, this is how torch saves dtypes that have no storage class of their own."""
    held = group(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), text("cpu"), integer(6)) + b"Q"
    sizes = group(integer(3)), group(integer(1))
    value = call(
        name("torch._utils", "_rebuild_tensor_v3"),
        held,
        integer(0),
        *sizes,
        b"\x89",
        call(name("collections", "OrderedDict")),
        name("torch", "uint16"),
    )
    source = opened(torch_zip(mapping(a=value), {"0": np.array([1, 2, 65535], "<u2")}))
    assert_read(source, {"a": np.array([1, 2, 65535], "u2")})


def test_big_endian_files_of_torch(opened):
    members = [("x/data.pkl", written.pickled(mapping(a=tensor()))), ("x/byteorder", b"big")]
    source = opened(written.zipped([*members, ("x/data/0", np.arange(6, dtype=">f4").tobytes())]))
    assert_read(source, {"a": np.arange(6, dtype="f4").reshape(2, 3)})


def test_parameters_and_ordered_dicts_and_attributes(opened):
    parameter = call(
        name("torch._utils", "_rebuild_parameter"), tensor(), b"\x88", call(name("collections", "OrderedDict"))
    )
    ordered = call(name("collections", "OrderedDict")) + b"(" + text("a") + parameter + b"u"
    with_state = ordered + mapping(_metadata=call(name("collections", "OrderedDict"))) + b"b"
    assert list(opened(torch_zip(with_state))) == ["a"]


@pytest.mark.parametrize("container", [torch_zip, torch_stream])
def test_parameters_of_torch_before_0_4(opened, container):
    """An object made by NEWOBJ, of its tensor or of nothing, and told its state by BUILD: files of 2017 have these."""
    hooks = call(name("collections", "OrderedDict"))
    kind = name("torch.nn.parameter", "Parameter")
    given = kind + group(tensor()) + b"\x81" + group(b"\x88", b"\x89", hooks) + b"b"
    told = kind + b")\x81" + group(tensor(), b"N", b"N", b"\x88", b"\x89") + b"b"
    source = opened(container(mapping(a=given, b=told)))
    assert_read(source, dict.fromkeys("ab", np.arange(6, dtype="f4").reshape(2, 3)))


@pytest.mark.parametrize("key", ["state_dict", "model", "net", "some_name_of_theirs"])
def test_a_checkpoint_is_searched_for_its_network(opened, key):
    scalar = call(name("numpy.core.multiarray", "scalar"), call(name("numpy", "dtype"), text("f8")), text("x"))
    value = mapping(epoch=integer(3), best=scalar, **{key: mapping(**{"module.conv.weight": tensor()})})
    source = opened(torch_zip(value))
    assert list(source) == ["conv.weight"]
    assert any("left 'epoch', 'best'" in note for note in source.notes)
    assert any("'module.'" in note for note in source.notes)


def test_the_network_and_not_its_average_is_taken(opened):
    value = mapping(model_ema=mapping(a=tensor()), model=mapping(b=tensor()))
    assert list(opened(torch_zip(value))) == ["b"]


def test_a_layer_called_model_among_others_keeps_its_name(opened):
    assert list(opened(torch_zip(mapping(**{"model.a": tensor(), "other.b": tensor()})))) == ["model.a", "other.b"]


def test_an_empty_storage_is_not_taken_for_one_without_a_checksum(opened):
    assert opened(torch_zip(mapping(a=tensor("0", (0, 3))), {"0": np.zeros(0, "<f4")})).notes == []


def test_a_zip_file_without_checksums_is_read_with_a_note(opened):
    """``torch.serialization`` can be told to leave them out: every CRC is then 0."""
    data = bytearray(torch_zip(mapping(a=tensor())))
    for signature, at in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        start = data.find(signature)
        while start >= 0:
            data[start + at : start + at + 4] = bytes(4)
            start = data.find(signature, start + 4)
    source = opened(bytes(data))
    assert source["a"].read().sum() == 15
    assert any("no checksum" in note for note in source.notes)


# ----------------------------------------------------------------------------------------- other formats


def test_safetensors(opened):
    source = opened(safetensors.numpy.save(ARRAYS, {"author": "us"}))
    assert source.format == "safetensors"
    assert source.metadata == {"author": "us"}
    assert_read(source, {key: ARRAYS[key] for key in source})
    assert len(source) == len(ARRAYS)


@pytest.mark.parametrize("packed", [False, True])
def test_npz(tmp_path, packed):
    arrays = {**ARRAYS, "fortran": np.asfortranarray(ARRAYS["single"]), "big": ARRAYS["double"].astype(">f8")}
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", **arrays)
    source = weights.open(tmp_path / "a.npz")
    assert source.format == "npz"
    assert_read(source, {key: array.astype(array.dtype.newbyteorder("=")) for key, array in arrays.items()})


@pytest.mark.parametrize("first_version", [False, True])
def test_caffe(opened, first_version):
    filters, biases = ARRAYS["single"].reshape(1, 2, 1, 3), np.float32([5.0])
    source = opened(written.caffemodel({"conv1": [filters, biases]}, first_version=first_version))
    assert source.format == "caffe"
    np.testing.assert_array_equal(source["conv1/0"].read(), filters)
    np.testing.assert_array_equal(source["conv1/1"].read().ravel(), biases)
    assert source.notes == ["the file calls its network 'net'"]


def test_caffe_numbers_that_are_not_packed(opened):
    """An old writer gives each number a field of its own."""
    single = b"".join(written.varint(5 << 3 | 5) + np.float32(x).tobytes() for x in (1, 2))
    layer = written.message({1: "fc", 7: [written.message({7: written.message({1: [2]})}) + single]})
    source = opened(written.message({1: "net", 100: [layer]}))
    np.testing.assert_array_equal(source["fc/0"].read(), [1, 2])


def test_onnx(opened):
    arrays = {key: ARRAYS[key] for key in ("single", "double", "half", "count")}
    source = opened(written.onnx(arrays))
    assert source.format == "onnx"
    assert_read(source, arrays)


def test_onnx_numbers_in_fields_of_their_own(opened):
    tensor_fields = {1: [2], 2: 1, 8: "a", 4: np.float32([1, 2]).tobytes()}
    source = opened(written.message({1: 8, 7: written.message({5: [written.message(tensor_fields)]})}))
    np.testing.assert_array_equal(source["a"].read(), [1, 2])


def test_nothing_is_read_before_it_is_asked_for(opened):
    """A storage with a wrong checksum is met when it is read, and not before."""
    data = bytearray(torch_zip(mapping(a=tensor("0"), b=tensor("1")), {k: np.full(6, 7, "<f4") for k in "01"}))
    data[data.rfind(np.full(6, 7, "<f4").tobytes())] ^= 1
    source = opened(bytes(data))
    assert source["a"].read().max() == 7
    with pytest.raises(LoadError, match=r"'archive/data/1' is damaged: its checksum"):
        source["b"].read()


def test_the_name_of_a_file_does_not_matter(opened):
    assert opened(torch_zip(mapping(a=tensor())), "resnet.h5").format == "torch"


@pytest.mark.parametrize(
    ("module", "data"), [("safetensors", safetensors.numpy.save(ARRAYS)), ("h5py", b"\x89HDF\r\n\x1a\n")]
)
def test_a_missing_library_is_named(opened, monkeypatch, module, data):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingExtraError, match="pip install"):
        opened(data)


def test_no_framework_is_imported():
    """A fresh interpreter reads a file of each kind; neither torch nor TensorFlow nor Keras comes along."""
    import subprocess
    import sys

    code = (
        "import io, sys, numpy as np, tempfile, os\n"
        "sys.path.insert(0, 'tests')\n"
        "from weights import written\n"
        "from minicnn import weights\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    torch_file = written.torch_zip(written.mapping(a=written.tensor()))\n"
        "    for data in (torch_file, written.onnx({'a': np.zeros(3, 'f4')})):\n"
        "        open(os.path.join(folder, 'x'), 'wb').write(data)\n"
        "        assert len(weights.open(os.path.join(folder, 'x'))) == 1\n"
        "assert not {'torch', 'tensorflow', 'keras', 'onnx', 'google.protobuf'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parity
@pytest.mark.parametrize("zip_file", [True, False])
def test_what_torch_itself_writes(tmp_path, zip_file):
    import torch

    base = torch.arange(12.0)
    saved = {
        "plain": base,
        "view": base.reshape(3, 4).T[1:],
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double(),
        "long": base.long(),
        "bool": base > 3,
        "parameter": torch.nn.Parameter(base),
        "empty": torch.zeros(0, 3),
        "number": torch.tensor(4.0),
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "complex": torch.complex(base, -base),
    }
    if zip_file:
        saved["uint16"] = base.to(torch.uint16)
    torch.save(saved, tmp_path / "t.pth", _use_new_zipfile_serialization=zip_file)
    source = weights.open(tmp_path / "t.pth")
    assert list(source) == list(saved)
    for key, value in saved.items():
        expected = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        np.testing.assert_array_equal(source[key].read(), expected.numpy(), strict=True)


def test_the_members_of_a_torch_file_are_not_copied(opened):
    source = opened(torch_zip(mapping(a=tensor())))
    assert not source["a"].read().flags.writeable


def test_zip_files_of_python_itself_are_read_too(tmp_path):
    """Written to a pipe, sizes and checksums come after each member."""
    import io

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("x/data.pkl", written.pickled(mapping(a=tensor())))
        archive.writestr("x/data/0", np.arange(6, dtype="<f4").tobytes())
    (tmp_path / "x").write_bytes(pipe.data)
    assert weights.open(tmp_path / "x")["a"].read().sum() == 15
