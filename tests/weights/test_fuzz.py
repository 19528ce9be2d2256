"""Every reader on inputs that nobody wrote: sound files with bytes changed, cut, moved, doubled; only LoadError comes.

``MINICNN_FUZZ=200000 pytest tests/weights/test_fuzz.py`` is the long run, 200,000 inputs for each reader.
"""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy

from minicnn import weights
from minicnn.errors import LoadError
from minicnn.weights import keras_file
from minicnn.weights.source import File
from weights import written
from weights.written import mapping, tensor

INPUTS = int(os.environ.get("MINICNN_FUZZ", "2000"))
LONGEST = 1.0  # second


def keras_legacy() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["layer_names"] = np.array(["conv", "bn"], "S")
        for layer, count in (("conv", 2), ("bn", 4)):
            group = file.create_group(layer)
            names = [f"{layer}/{place}:0" for place in range(count)]
            group.attrs["weight_names"] = np.array(names, "S")
            for name in names:
                group[name] = np.arange(3, dtype="f4")
    return buffer.getvalue()


def keras_weights() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for layer in ("conv2d", "conv2d_1"):
            group = file.create_group(f"layers/{layer}/vars")
            group.attrs["name"] = f"block_{layer}"
            group["0"] = np.arange(3, dtype="f4")
            group.create_dataset("1", data=np.zeros((4, 4), "f4"), compression="gzip")
    return buffer.getvalue()


def npz(packed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, a=np.arange(6.0), b=np.ones((2, 3), "f4"))
    return buffer.getvalue()


STATE = mapping(state_dict=mapping(**{"module.a": tensor("0", (2, 3)), "module.b": tensor("1", (3, 2), (1, 3))}))
STORAGES = {"0": np.arange(6, dtype="<f4"), "1": np.arange(6, dtype="<f4")}
CONFIG = b'{"config":{"layers":[{"class_name":"Conv2D","config":{"name":"a"}}]}}'
CAFFE = {"conv1": [np.ones((2, 1, 3, 3), "f4"), np.ones(2, "f4")], "fc": [np.ones((3, 2), "f4")]}
SOUND = {
    "torch zip": written.torch_zip(STATE, STORAGES),
    "torch zip, packed": written.zipped(
        [("x/data.pkl", written.pickled(mapping(a=tensor()))), ("x/data/0", bytes(24))], True
    ),
    "torch stream": written.torch_stream(STATE, STORAGES),
    "safetensors": safetensors.numpy.save({"a": np.ones((2, 3), "f4"), "b": np.ones(4)}, {"x": "y"}),
    "npz": npz(False),
    "npz, packed": npz(True),
    "caffe": written.caffemodel(CAFFE),
    "caffe, first version": written.caffemodel(CAFFE, first_version=True),
    "onnx": written.onnx({"a": np.ones((2, 3), "f4"), "b": np.arange(3)}),
    "keras": keras_legacy(),
    "keras weights": keras_weights(),
    "keras zip": written.zipped([("config.json", CONFIG), ("model.weights.h5", keras_weights())]),
}
CURIOUS = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x2E, 0x28, 0x52, 0x63, 0x71, 0x68, 0x7B, 0x7D]  # with pickle's opcodes


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a file in a few places."""
    found = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, other = (int(rng.integers(len(found))) for _ in range(2)) if found else (0, 0)
        size = int(rng.integers(1, 17))
        match int(rng.integers(8)):
            case 0:
                found[at : at + 1] = bytes([found[at] ^ 1 << int(rng.integers(8))]) if found else b""
            case 1:
                found[at : at + 1] = bytes([CURIOUS[rng.integers(len(CURIOUS))]])
            case 2:
                found[at : at + size] = rng.bytes(size)
            case 3:
                del found[at : at + size]
            case 4:
                found[at:at] = found[other : other + size]
            case 5:
                del found[at + 1 :]
            case 6:  # a number as these formats have them, of which sizes and offsets are made
                number = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1]))
                found[at : at + 8] = number.to_bytes(8, "little")[: int(rng.choice([1, 2, 4, 8]))]
            case 7:
                found[at : at + size] = found[other : other + size]
    return bytes(found)


def read_all(path, data: bytes) -> bool:
    """Read every array of a file of these bytes; tell whether there was anything to refuse."""
    path.write_bytes(data)
    try:
        read = {name: (entry, entry.read()) for name, entry in weights.open(path).items()}
    except LoadError as error:
        message = str(error)
        return str(path) in message
    assert all(array.shape == entry.shape and array.dtype == entry.dtype for entry, array in read.values())
    return False


def fuzz(data: bytes, count: int, folder, seed: int) -> tuple[int, float]:
    """Read ``count`` changed files; return how many were refused, and the seconds of the slowest."""
    rng, path = np.random.default_rng(seed), folder / "fuzzed"
    refused, slowest = 0, 0.0
    for _ in range(count):
        wrong = changed(data, rng)
        began = time.perf_counter()
        try:
            refused += read_all(path, wrong)
        except Exception as error:
            error.add_note(f"The file: {wrong!r}")
            raise
        slowest = max(slowest, time.perf_counter() - began)
    return refused, slowest


@pytest.fixture
def memory(tmp_path):
    """Return a folder in memory where there is one: hundreds of thousands of files are written."""
    import tempfile

    if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder)
    else:
        yield tmp_path


@pytest.mark.parametrize("kind", [kind for kind in SOUND if kind not in ("keras", "keras weights", "keras zip")])
def test_nothing_but_a_load_error(kind, memory):
    assert not read_all(memory / "sound", SOUND[kind])
    refused, slowest = fuzz(SOUND[kind], INPUTS, memory, seed=len(kind))
    assert refused > INPUTS / 3
    assert slowest < LONGEST


def test_nothing_but_a_load_error_of_keras_zips(memory):
    """Few, for what zip's checksums do not catch starts a process."""
    assert not read_all(memory / "sound", SOUND["keras zip"])
    refused, _ = fuzz(SOUND["keras zip"], INPUTS // 20, memory, seed=9)
    assert refused > INPUTS / 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("kind", ["keras", "keras weights"])
def test_nothing_but_a_load_error_of_hdf5(kind, memory):
    """The process that looks into HDF5 files may end as it likes, but it ends; and whatever it tells is checked."""
    assert not read_all(memory / "sound", SOUND[kind])
    rng, path = np.random.default_rng(len(kind)), memory / "fuzzed"
    refused, ended = 0, []
    worker = [sys.executable, Path(__file__).with_name("hdf5_worker.py")]
    with subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asked:
        for _ in range(INPUTS):
            wrong = changed(SOUND[kind], rng)
            path.write_bytes(wrong)
            asked.stdin.write(f"{path}\n")
            asked.stdin.flush()
            told = json.loads(asked.stdout.readline())
            if "ended" in told:
                ended.append(told["ended"])
                continue
            try:
                unpacked = Path(f"{path}.unpacked").read_bytes()
                for entry in keras_file.entries_of(File(path, memoryview(wrong)), told, unpacked, {}).values():
                    assert entry.read().shape == entry.shape
            except LoadError:
                refused += 1
            except Exception as error:
                error.add_note(f"The file: {wrong!r}")
                raise
        asked.stdin.close()
    assert refused > INPUTS / 10
    assert len(ended) <= INPUTS / 100
