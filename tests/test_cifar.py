"""CIFAR, binary and pickled: read without executing anything."""

import pickle
import struct

import numpy as np
import pytest

from minicnn.data import open_folder
from minicnn.data.cifar import load_cifar
from minicnn.errors import LoadError

RNG = np.random.default_rng(0)
COUNT = 4


def rows(classes, count=COUNT):
    return RNG.integers(0, 256, (count, 3072), np.uint8), RNG.integers(classes, size=count).astype(np.uint8)


# ----------------------------------------------------------------------------------------- files as they are published


def text(value):
    """A string of Python 2."""
    data = value if isinstance(value, bytes) else value.encode()
    short = len(data) < 256
    return (b"U" + struct.pack("<B", len(data)) if short else b"T" + struct.pack("<i", len(data))) + data


def number(value):
    return b"K" + struct.pack("<B", value) if 0 <= value < 256 else b"J" + struct.pack("<i", value)


def array(pixels, code="u1", module="numpy.core.multiarray"):
    """An array as cPickle wrote it: made first, told its state then."""
    made = f"c{module}\n_reconstruct\ncnumpy\nndarray\n".encode() + number(0) + b"\x85" + text("b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + text(code) + number(0) + number(1) + b"\x87R("
    dtype += number(3) + text("|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    shape = number(pixels.shape[0]) + b"M" + struct.pack("<H", pixels.shape[1]) + b"\x86"
    return made + b"(" + number(1) + shape + dtype + b"\x89" + text(pixels.tobytes()) + b"tb"


def numbers(values):
    """A list, a thousand at a time."""
    parts = [values[start : start + 1000] for start in range(0, len(values), 1000)]
    return b"]" + b"".join(b"(" + b"".join(map(number, part)) + b"e" for part in parts)


def strings(values):
    return b"](" + b"".join(map(text, values)) + b"e"


def pickled(**entries):
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."


NAMES10 = [f"class{n}" for n in range(10)]
NAMES100 = [f"fine{n}" for n in range(100)]


def write(folder, kind):
    """Write all files of a kind; return the images and labels of the training part."""
    folder.mkdir(exist_ok=True)
    images, labels = [], []
    fine = kind.endswith("100")
    stems = ["train", "test"] if fine else [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    for stem in stems:
        pixels, classes = rows(100 if fine else 10)
        if kind.startswith("binary"):
            coarse = np.full((COUNT, 1), 7, np.uint8)
            columns = [*([coarse] if fine else []), classes[:, None], pixels]
            (folder / f"{stem}.bin").write_bytes(np.hstack(columns).tobytes())
        else:
            key = "fine_labels" if fine else "labels"
            entries = {"batch_label": text(stem), key: numbers(classes.tolist()), "data": array(pixels)}
            (folder / stem).write_bytes(pickled(**entries))
        if not stem.startswith("test"):
            images.append(pixels)
            labels.append(classes)
    if kind.startswith("binary"):
        name = "fine_label_names.txt" if fine else "batches.meta.txt"
        (folder / name).write_text("\n".join(NAMES100 if fine else NAMES10) + "\n\n")
    elif fine:
        (folder / "meta").write_bytes(pickled(fine_label_names=strings(NAMES100)))
    else:
        (folder / "batches.meta").write_bytes(pickled(num_vis=number(0), label_names=strings(NAMES10)))
    return np.concatenate(images), np.concatenate(labels)


KINDS = ("binary10", "binary100", "pickled10", "pickled100")


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files(tmp_path, kind):
    pixels, labels = write(tmp_path, kind)
    training, test, names = load_cifar(tmp_path)
    np.testing.assert_array_equal(training.images.reshape(-1, 3072), pixels)
    np.testing.assert_array_equal(training.labels, labels)
    assert training.images.shape[1:] == test.images.shape[1:] == (3, 32, 32)
    assert training.images.dtype == np.uint8
    assert len(test) == COUNT
    assert names == tuple(NAMES100 if kind.endswith("100") else NAMES10)
    assert open_folder(tmp_path).classes == names


def test_our_writer_writes_what_python_reads(tmp_path):
    """The files above are not our idea of a pickle: Python's own reader agrees."""
    write(tmp_path, "pickled10")
    batch = pickle.loads((tmp_path / "data_batch_1").read_bytes(), encoding="latin1")
    assert batch["data"].shape == (COUNT, 3072)
    np.testing.assert_array_equal(load_cifar(tmp_path)[0].images[:COUNT].reshape(COUNT, -1), batch["data"])


def test_long_lists_come_in_parts(tmp_path):
    write(tmp_path, "pickled10")
    pixels = np.zeros((2500, 3072), np.uint8)
    (tmp_path / "data_batch_1").write_bytes(pickled(data=array_long(pixels), labels=numbers([3] * 2500)))
    assert len(load_cifar(tmp_path)[0]) == 2500 + 4 * COUNT


def array_long(pixels):
    return (
        array(pixels[:1])
        .replace(number(1) + b"M" + struct.pack("<H", 3072), b"M" + struct.pack("<HBH", len(pixels), ord("M"), 3072))
        .replace(text(pixels[:1].tobytes()), text(pixels.tobytes()))
    )


# ----------------------------------------------------------------------------------------- files that are wrong

SYSTEM = b"\x80\x02cos\nsystem\nU\x09touch ownd\x85R."
PIXELS, LABELS = rows(10)


def broken(folder, name, content):
    kind = "binary" if name.endswith(".bin") else "pickled"
    write(folder, kind + ("100" if name.startswith("train") else "10"))
    (folder / name).write_bytes(content)


WRONG = {
    "empty": ("data_batch_2.bin", b"", "file is empty"),
    "cut": ("data_batch_2.bin", bytes(3072), "must be rows of 3073 bytes, found 3,072 bytes"),
    "CIFAR-100 as CIFAR-10": ("data_batch_2.bin", bytes(3074 * 2), "it would be rows of 3074, those of CIFAR-100"),
    "CIFAR-10 as CIFAR-100": ("train.bin", bytes(3073 * 2), "it would be rows of 3073, those of CIFAR-10"),
    "label": ("data_batch_2.bin", bytes([200]) + bytes(3072), r"labels must lie in 0 \.\. 9, found 200 \(at item 0\)"),
    "hostile": ("data_batch_2", SYSTEM, "names os.system, which is refused"),
    "protocol 4": ("data_batch_2", pickle.dumps({"data": 1}, protocol=4), "has protocol 4; protocol 2 is read"),
    "no dict": ("data_batch_2", b"\x80\x02K\x01.", "must hold a dict, found a int"),
    "no data": ("data_batch_2", pickled(labels=numbers([1])), "must hold an array 'data'"),
    "no labels": ("data_batch_2", pickled(data=array(PIXELS)), "must hold a list 'labels' of whole numbers"),
    "CIFAR-100's labels": (
        "data_batch_2", pickled(data=array(PIXELS), fine_labels=numbers([1] * 4)), "a list 'labels' .* as CIFAR-10 does"
    ),
    "pickled label": ("data_batch_2", pickled(data=array(PIXELS), labels=numbers([1, 2, 30, 4])), "found 30"),
    "huge label": ("data_batch_2", pickled(data=array(PIXELS), labels=numbers([1, 2, 10**9, 4])), "one of 1000000000"),
    "few labels": ("data_batch_2", pickled(data=array(PIXELS), labels=numbers([1, 2])), "2 labels for 4 images"),
    "floats": ("data_batch_2", pickled(data=array(PIXELS, "f8"), labels=numbers([1] * 4)), "dtype 'f8', and"),
    "shape": (
        "data_batch_2", pickled(data=array(PIXELS).replace(number(4), number(5)), labels=numbers([1] * 4)),
        r"array of shape \(5, 3072\) with 12,288 bytes",
    ),
    "truncated": ("data_batch_2", pickled(data=array(PIXELS), labels=numbers([1] * 4))[:5000], "is truncated"),
    "object array": ("data_batch_2", pickled(data=array(PIXELS, "O8")), "dtype 'O8'"),
    "persistent": ("data_batch_2", b"\x80\x02U\x01aQ.", "refers to something outside of it"),
    "makes": ("data_batch_2", b"\x80\x02cnumpy\ndtype\n)\x81.", "makes an object"),
    "calls": ("data_batch_2", b"\x80\x02cnumpy\nndarray\n)R.", "calls numpy.ndarray with arguments that it never has"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files(tmp_path, case, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, content, text = WRONG[case]
    broken(tmp_path, name, content)
    with pytest.raises(LoadError, match=text) as caught:
        load_cifar(tmp_path)
    assert str(caught.value.path).endswith(name)
    assert not (tmp_path / "ownd").exists()


def test_files_that_are_missing(tmp_path):
    with pytest.raises(LoadError, match=r"no file of CIFAR: none of data_batch_1.bin, train.bin, data_batch_1, train"):
        load_cifar(tmp_path)
    write(tmp_path, "binary10")
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(LoadError, match=r"data_batch_3.bin: no such file"):
        load_cifar(tmp_path)


def test_names_must_be_one_per_class(tmp_path):
    write(tmp_path, "binary10")
    (tmp_path / "batches.meta.txt").write_text("one two")
    with pytest.raises(LoadError, match="must hold the names of 10 classes"):
        load_cifar(tmp_path)
