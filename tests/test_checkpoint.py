import errno
import os
import resource
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import safetensors.numpy

from minicnn.errors import LoadError, SaveError, VersionError
from minicnn.files import write_atomically
from minicnn.train.checkpoint import Checkpoint
from minicnn.train.run_folder import CORRUPT, CURRENT, PREVIOUS, RunFolder, load_checkpoint


def checkpoint(number=0.0, size=1000):
    return Checkpoint(
        model={"C1.weight": np.full((2, size), number, np.float32), "codes": np.array([[True, False]])},
        optimizer={"steps": np.array(7, np.int64), "0.momentum": np.arange(3) / 7},
        facts={"epoch": 3, "number": number, "history": [{"loss": 0.1 + 0.2}, {"loss": float("inf")}]},
    )


def assert_same(one, other):
    assert one.facts == other.facts
    for mine, theirs in ((one.model, other.model), (one.optimizer, other.optimizer)):
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert array.dtype == theirs[name].dtype
            np.testing.assert_array_equal(array, theirs[name], strict=True)


def test_round_trip(tmp_path):
    checkpoint(1.5).save(tmp_path / "c")
    assert_same(Checkpoint.load(tmp_path / "c"), checkpoint(1.5))
    assert os.listdir(tmp_path) == ["c"]


def test_any_safetensors_reader_sees_the_weights(tmp_path):
    checkpoint(1.5).save(tmp_path / "c.safetensors")
    tensors = safetensors.numpy.load_file(tmp_path / "c.safetensors")
    np.testing.assert_array_equal(tensors["model.C1.weight"], checkpoint(1.5).model["C1.weight"])


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "c"
    checkpoint().save(path)
    whole = path.read_bytes()
    for end in (0, 3, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(LoadError, match="cannot be read as a checkpoint"):
            Checkpoint.load(path)
    path.write_bytes(whole + b"!")
    with pytest.raises(LoadError, match="cannot be read as a checkpoint"):
        Checkpoint.load(path)


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "c"
    checkpoint(size=4).save(path)
    whole = path.read_bytes()
    expected = Checkpoint.load(path)
    noticed = 0
    for bit in range(0, 8 * len(whole), 3):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            got = Checkpoint.load(path)
        except LoadError:
            noticed += 1
        else:  # white space between the header's words
            assert_same(got, expected)
    assert noticed > 0.98 * len(range(0, 8 * len(whole), 3))


def test_a_newer_version_is_refused_and_not_replaced_by_an_older_one(tmp_path, monkeypatch):
    with RunFolder(tmp_path) as folder:
        folder.save(checkpoint(1.0))
        with monkeypatch.context() as newer:
            newer.setattr("minicnn.train.checkpoint.VERSION", 2)
            folder.save(checkpoint(2.0))
        with pytest.raises(VersionError, match="of version 2, this minicnn reads up to 1"):
            folder.resume()
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == [CURRENT, PREVIOUS]


def test_files_that_are_no_checkpoints(tmp_path):
    with pytest.raises(LoadError, match="cannot be read"):
        Checkpoint.load(tmp_path / "absent")
    with pytest.raises(LoadError, match="holds no checkpoint"):
        load_checkpoint(tmp_path)
    safetensors.numpy.save_file({"weight": np.ones(3)}, tmp_path / "foreign")
    with pytest.raises(LoadError, match="no checkpoint of minicnn"):
        Checkpoint.load(tmp_path / "foreign")


# ------------------------------------------------------------------------------------------- saving fails


def assert_untouched(folder):
    assert_same(load_checkpoint(folder), checkpoint(2.0))
    assert_same(Checkpoint.load(folder / PREVIOUS), checkpoint(1.0))
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_saved(tmp_path, monkeypatch, call):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RunFolder(tmp_path) as folder:
        folder.save(checkpoint(1.0))
        folder.save(checkpoint(2.0))
        with monkeypatch.context() as disk:
            disk.setattr(os, call, full)
            with pytest.raises(SaveError, match="No space left on device; what was saved before is untouched"):
                folder.save(checkpoint(3.0))
        assert_untouched(tmp_path)


def test_a_write_that_stops_half_way_leaves_what_was_saved(tmp_path):
    """The system itself refuses to let a file grow beyond 10,000 bytes."""
    with RunFolder(tmp_path) as folder:
        folder.save(checkpoint(1.0))
        folder.save(checkpoint(2.0))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            with pytest.raises(SaveError, match="File too large"):
                folder.save(checkpoint(3.0, size=100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert_untouched(tmp_path)


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot be written to"), RunFolder(tmp_path / "file" / "run"):
        pass
    with pytest.raises(SaveError, match="cannot be written: No such file"):
        write_atomically(tmp_path / "absent" / "x", b"")


# ------------------------------------------------------------------------------------------- the folder of a run


def test_a_corrupt_checkpoint_is_put_aside_and_the_one_before_used(tmp_path):
    with RunFolder(tmp_path) as folder:
        folder.save(checkpoint(1.0))
        folder.save(checkpoint(2.0))
        (tmp_path / CURRENT).write_bytes(b"\0" * 50)
        with pytest.warns(UserWarning, match=r"cannot be read .*; going back to previous.safetensors"):
            assert_same(folder.resume(), checkpoint(1.0))
        folder.save(checkpoint(3.0))
        assert_same(load_checkpoint(tmp_path), checkpoint(3.0))
        assert_same(Checkpoint.load(tmp_path / PREVIOUS), checkpoint(1.0))
        assert (tmp_path / CORRUPT).read_bytes() == b"\0" * 50
        (tmp_path / CURRENT).write_bytes(b"")
        (tmp_path / PREVIOUS).write_bytes(b"")
        with pytest.raises(LoadError, match=CURRENT):
            folder.resume()


def test_two_runs_cannot_share_a_folder(tmp_path):
    with RunFolder(tmp_path):
        with pytest.raises(SaveError, match=rf"another run \(process {os.getpid()}\)"), RunFolder(tmp_path):
            pass
        code = f"from minicnn.train.run_folder import RunFolder\nwith RunFolder({str(tmp_path)!r}): pass"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"another run (process {os.getpid()})" in other.stderr
    with RunFolder(tmp_path):
        pass


WRITER = """
import sys
sys.path[:0] = {path!r}
from test_checkpoint import RunFolder, checkpoint
with RunFolder({folder!r}) as folder:
    number = 0.0
    while True:
        folder.save(checkpoint(number, size=200_000))
        print(number, flush=True)
        number += 1
"""


def test_killed_while_writing_there_is_always_a_whole_checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    path = [os.path.dirname(__file__), *sys.path]
    for _ in range(8):
        code = WRITER.format(path=path, folder=str(tmp_path))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as writer:
            writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            writer.send_signal(signal.SIGKILL)
            saved = [float(line) for line in writer.stdout]
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # whole means: without going back to the one before
            with RunFolder(tmp_path) as folder:  # nobody holds the lock
                survivor = folder.resume()
        assert survivor.facts["number"] >= max(saved, default=0.0)
        assert_same(survivor, checkpoint(survivor.facts["number"], size=200_000))
        assert not list(tmp_path.glob(".*.tmp"))
