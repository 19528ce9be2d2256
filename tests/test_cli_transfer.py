"""`minicnn transfer`, `evaluate`, `predict RUN` and `augment`, run as a user runs them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicnn import manual_seed, models, weights
from minicnn.errors import LoadError, OptionError
from minicnn.train.memory import check_memory
from minicnn.transfer import freeze
from minicnn.transfer.job import run_plan
from minicnn.transfer.plan import FineTune, make_plan
from minicnn.transfer.run import TransferRun, open_run
from minicnn.weights import safetensors_file

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ANTS_AND_BEES = SHARED / "hymenoptera"
MOBILENET = SHARED / "weights" / "mobilenet_v1_0.25_224.h5"
needs_data = pytest.mark.skipif(
    not (ANTS_AND_BEES.is_dir() and MOBILENET.exists()), reason=f"{SHARED} is not there: no photos, no weights"
)

MINICNN = [sys.executable, "-W", "error", "-m", "minicnn.cli"]


def minicnn(*arguments, cwd, ok=True):
    result = subprocess.run(
        [*MINICNN, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=400, check=False
    )
    assert "Traceback" not in result.stderr, result.stderr
    assert (result.returncode == 0) == ok, result.stderr
    return result


def scene(rng, label):
    """Stripes, upright or level, in any colours: what even filters that nobody trained can tell apart."""
    wave = np.sin(np.arange(44) * rng.uniform(0.7, 1.1) + rng.uniform(0, 6))
    stripes = np.broadcast_to(wave[:, None] if label == 0 else wave, (44, 44))[..., None]
    values = 128 + 80 * stripes * rng.uniform(0.4, 1, 3) + rng.normal(0, 10, (44, 44, 3))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photos of two classes, divided, and weights of a network that nobody trained."""
    top = tmp_path_factory.mktemp("transfer")
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("val", 12)):
        for label, name in enumerate(("level ü", "upright")):
            folder = top / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                scene(rng, label).save(folder / f"{number}.png")
    manual_seed(0)
    np.savez(top / "resnet20.npz", **models.create("resnet20").state_dict())
    return top


FROM = ("--weights", "resnet20.npz", "--data", "photos")
OPTIONS = ("transfer", "resnet20", *FROM, "--epochs", 40, "--lr", 0.01, "--views", 2)
TUNED = (*OPTIONS, "--fine-tune", "stage3", "--tune-epochs", 4, "--patience", 2, "--folds", 2)


@pytest.fixture(scope="module")
def run(place):
    """Everything at once: head, fine-tuning, folds, from scratch."""
    return minicnn(*TUNED, "--from-scratch", "--out", "whole", cwd=place)


def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_a_transfer_leaves_everything(place, run):
    folder = place / "whole"
    made = {path.name for path in folder.iterdir()}
    pictures = {"confusion.png", "curves.png", "mistakes.png", "reliability.png", "roc.png"}
    assert made == {"config.json", "report.json", "network.safetensors", "folds.json", *pictures,
                    "head", "fine_tune", "from_scratch"}  # fmt: skip
    for name in pictures:
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 200
    found = report(folder)
    assert found["val"]["count"] == 24
    assert found["head"]["accuracy"] > 0.8
    assert found["val"]["accuracy"] == found["fine_tune"]["accuracy"] > 0.6  # of weights chosen on five photos
    assert found["folds"]["pairs_apart"] > 0  # stripes look alike
    assert "pairs of images that look alike are in different folds" in run.stdout
    assert set(found["val"]["classes"]) == {"level ü", "upright"}
    assert found["data"]["training"] == {"level ü": 24, "upright": 24}
    assert found["head"]["epochs"] == 40
    assert found["from_scratch"]["epochs"] == 44
    assert 1 <= found["fine_tune"]["weights_of_epoch"] <= found["fine_tune"]["epochs"] <= 4
    assert len(found["folds"]["folds"]) == 2
    assert found["folds"]["accuracy"] == pytest.approx(np.mean([fold["accuracy"] for fold in found["folds"]["folds"]]))
    assert {"features", "head", "fine_tune", "folds", "from_scratch", "total"} <= set(found["seconds"])
    assert re.search(r"^resnet20 \(\w+\): features of 48 \+ 24 images$", run.stdout, re.M)
    assert re.search(r"Validation accuracy [\d.]+ % of 24 images", run.stdout)
    assert "unchanged to the last bit" in run.stdout
    assert re.search(r"^from scratch +[\d.]+ % +44 ", run.stdout, re.M)


def test_the_report_has_the_hashes_of_what_was_frozen(place, run):
    frozen = report(place / "whole")["frozen"]
    assert list(frozen["head"]["before"]) == ["conv1", "stage1", "stage2", "stage3", "pool"]
    assert list(frozen["fine_tune"]["before"]) == ["conv1", "stage1", "stage2"]
    for phase in frozen.values():
        assert phase["equal"] is True
        assert phase["before"] == phase["after"]
    assert frozen["fine_tune"]["before"]["stage1"] == frozen["head"]["before"]["stage1"]
    kept = weights.open(place / "whole" / "network.safetensors")
    given = np.load(place / "resnet20.npz")
    for name in given.files:
        if not name.startswith("fc"):
            assert np.array_equal(kept[name].read(), given[name]) == (not name.startswith("stage3")), name


def test_predicting_by_a_run(place, run):
    files = ["photos/val/upright/1.png", "photos/val/level ü/2.png"]
    result = minicnn("predict", "whole", *files, "--top", 2, cwd=place)
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    for line, file in zip(lines, files, strict=True):
        found = re.fullmatch(re.escape(file) + r"  (upright|level ü)  ([\d.]+) %  (upright|level ü)  ([\d.]+) %", line)
        assert float(found[2]) + float(found[4]) == pytest.approx(100, abs=0.11)
    broken = minicnn("predict", "whole", "photos", *files, cwd=place, ok=False)
    assert len(broken.stdout.splitlines()) == 2
    assert "photos: cannot be read: Is a directory" in broken.stderr


def test_evaluating_a_run(place, run):
    result = minicnn("evaluate", "whole", "photos", cwd=place)
    assert re.search(r"^level ü +[\d.]+ +[\d.]+ +[\d.]+ +12$", result.stdout, re.M)
    found = json.loads((place / "whole/evaluation/evaluation.json").read_text())
    expected = report(place / "whole")["val"]
    assert found["accuracy"] == expected["accuracy"]
    assert found["confusion"] == expected["confusion"]
    assert len(found["images"]) == 24
    wrong = [row for row in found["images"] if row["label"] != row["answer"]]
    assert len(wrong) == round((1 - found["accuracy"]) * 24)
    assert {path.name for path in (place / "whole/evaluation").iterdir()} == {
        "evaluation.json", "confusion.png", "roc.png", "reliability.png", "mistakes.png",
    }  # fmt: skip


def test_evaluating_with_classes_that_it_does_not_know(place, run, tmp_path):
    (tmp_path / "wasps").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "wasps" / "a.png")
    result = minicnn("evaluate", "whole", tmp_path, cwd=place, ok=False)
    assert "has the class wasps, which the network does not know: it knows level ü, upright" in result.stderr


def test_the_network_of_a_run_in_python(place, run):
    opened = open_run(place / "whole")
    assert isinstance(opened, TransferRun)
    assert opened.classes == ("level ü", "upright")
    chances = opened.read(place / "photos/val/upright/0.png")
    assert chances.shape == (2,)
    assert chances.sum() == pytest.approx(1)


def test_another_network_in_the_folder_of_a_run(place, run, tmp_path):
    shutil.copy(place / "whole/config.json", tmp_path)
    resnet = weights.open(place / "resnet20.npz")
    safetensors_file.write(tmp_path / "network.safetensors", {name: entry.read() for name, entry in resnet.items()}, {})
    with pytest.raises(
        LoadError, match=r"network.safetensors: is not the network of a transfer: KeyError\('classes'\)"
    ):
        open_run(tmp_path)


def test_dropout_that_leaves_little_is_no_warning_before_anything_is_learnt(place, tmp_path):
    minicnn(*OPTIONS, "--dropout", 0.95, "--out", tmp_path / "run", cwd=place)  # of which a warning would be an error


def killed(place, out, where, delay):
    """Start the transfer and kill it soon after a file has come into being."""
    process = subprocess.Popen(
        [*MINICNN, *map(str, TUNED), "--out", out], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while not (place / out / where).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return process.returncode


@pytest.mark.parametrize(
    ("where", "delay"),
    [("head/checkpoint.safetensors", 0.05), ("fine_tune/checkpoint.safetensors", 0.4), ("folds.json", 0.05)],
)
def test_killed_and_resumed_is_the_same_run(place, run, where, delay):
    out = "killed in " + where.split("/")[0]
    assert killed(place, out, where, delay) == -signal.SIGKILL, "it was killed too late to show anything"
    minicnn("transfer", "resnet20", "--resume", "--out", out, cwd=place)
    one, other = report(place / "whole"), report(place / out)
    for name in ("seconds", "from_scratch"):
        one.pop(name), other.pop(name, None)
    assert one == other
    networks = [weights.open(place / folder / "network.safetensors") for folder in ("whole", out)]
    for name, entry in networks[0].items():
        np.testing.assert_array_equal(networks[1][name].read(), entry.read(), err_msg=name)
    shutil.rmtree(place / out)


def test_ctrl_c_is_one_line(place, run):
    process = subprocess.Popen(
        [*MINICNN, *map(str, TUNED), "--out", "stopped"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (place / "stopped/fine_tune/checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("minicnn: stopped")


# ----------------------------------------------------------------------------------------- wrong arguments

WRONG = {
    "no data": (("transfer", "resnet20", "--weights", "resnet20.npz"), "transfer needs --data DIR"),
    "no such data": ((*OPTIONS[:4], "--data", "nowhere"), "nowhere: there is no such folder or list"),
    "no such network": (("transfer", "resnet21", *FROM), "did you mean 'resnet"),
    "no such weights": (("transfer", "resnet20", "--weights", "none.npz", *FROM[2:]), "none.npz: no such file"),
    "other weights": (("transfer", "vgg16", *FROM), "holds no weights of 'vgg16'"),
    "no such stage": ((*OPTIONS, "--fine-tune", "stage9"), "since must be a stage of the network"),
    "patience without": ((*OPTIONS, "--patience", 3), "--patience is for fine-tuning: --fine-tune STAGE says"),
    "one fold": ((*OPTIONS, "--folds", 1), "--folds must be 2 or more, got 1"),
    "many folds": ((*OPTIONS, "--folds", 25), "--folds 25 needs as many images of each class, one class has 24"),
    "a bad rate": ((*OPTIONS, "--lr", "-1"), "lr must be > 0 and finite, got -1.0"),
    "a bad dropout": ((*OPTIONS, "--dropout", "2"), "p must lie in 0 .. 1|p must be"),
    "a bad share": ((*OPTIONS, "--smoothing", "2"), "label_smoothing must be"),
    "a bad rate, later": ((*TUNED, "--tune-lr", "-1"), "lr must be > 0 and finite, got -1.0"),
    "resume what": (("transfer", "resnet20", "--resume"), "--resume needs --out RUN"),
    "resume nothing": (("transfer", "resnet20", "--resume", "--out", "nothing"), "is not the folder of a run"),
    "resume otherwise": (("transfer", "resnet20", "--resume", "--out", "whole", "--epochs", 3), "leave out --epochs"),
    "resume another": (("transfer", "vgg16", "--resume", "--out", "whole"), "MODEL is resnet20 there"),
    "again": ((*OPTIONS, "--out", "whole"), "whole holds a run already"),
    "digits": (("transfer", "lenet5", "--weights", "lenet5.npz", *FROM[2:]), "sees scans of digits, not photos"),
    "evaluate nothing": (("evaluate", "photos", "photos"), "is not the folder of a run"),
    "augment text": (("augment", "whole/report.json", "--out", "a.png"), "not an image of a known kind"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(place, run, case):
    np.savez(place / "lenet5.npz", **models.create("lenet5").state_dict())
    arguments, text = WRONG[case]
    if arguments[0] == "transfer" and not {"--out", "--resume"} & set(arguments):
        arguments = (*arguments, "--out", f"wrong {case}")
    result = minicnn(*arguments, cwd=place, ok=False)
    assert re.search(text, result.stderr), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_notes_are_told_and_kept(place, tmp_path):
    shutil.copytree(place / "photos", tmp_path / "photos")
    shutil.copy(tmp_path / "photos/train/upright/3.png", tmp_path / "photos/val/upright/copy.png")
    (tmp_path / "photos/train/upright/notes.txt").write_text("x")
    (tmp_path / "photos/train/upright/broken.jpg").touch()
    shutil.copy(place / "resnet20.npz", tmp_path)
    result = minicnn(*OPTIONS, "--out", "a", cwd=tmp_path, ok=False)
    assert "1 file cannot be read (skip, --skip-unreadable, goes on without)" in result.stderr
    assert "broken.jpg" in result.stderr
    result = minicnn(*OPTIONS, "--out", "a", "--skip-unreadable", "--balanced", cwd=tmp_path)
    notes = report(tmp_path / "a")["data"]["notes"]
    for text in ("notes.txt", "broken.jpg", "copy.png of the validation part looks like"):
        assert any(text in note for note in notes)
        assert text in result.stdout


def test_arrays_are_learnt_from_too(place, tmp_path):
    """CIFAR-10, of a few images, and of one class none: the network is trained, and the note stands in the report."""
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        rows = rng.integers(0, 256, (9, 3073), np.uint8)
        rows[:, 0] = np.arange(9)
        (tmp_path / f"{name}.bin").write_bytes(rows.tobytes())
    (tmp_path / "batches.meta.txt").write_text("\n".join(f"class{n}" for n in range(10)))
    options = (*FROM[:2], "--data", tmp_path, "--epochs", 2, "--views", 1, "--out", tmp_path / "run")
    result = minicnn("transfer", "resnet20", *options, cwd=place)
    assert "note: the training part has no image of class9, which thus cannot be learnt" in result.stdout
    assert report(tmp_path / "run")["data"]["training"]["class3"] == 5
    result = minicnn("evaluate", tmp_path / "run", tmp_path, cwd=place)
    assert re.search(r"^class9 +- +- +- +0$", result.stdout, re.M)


@pytest.mark.parametrize(("choice", "batch"), [({"from_scratch": True}, 32), ({"fine_tune": "conv1"}, 16)])
def test_a_batch_that_no_memory_holds_is_refused_before_anything_is_learnt(place, tmp_path, monkeypatch, choice, batch):
    np.savez(tmp_path / "small.npz", **models.create("mobilenet", width=0.25, size=96).state_dict())
    if "fine_tune" in choice:
        choice = {"fine_tune": FineTune(choice["fine_tune"], batch_size=batch)}
    plan = make_plan("mobilenet", tmp_path / "small.npz", place / "photos", size=96, **choice)
    pages = {"SC_PHYS_PAGES": 2**15, "SC_PAGE_SIZE": 2**10}
    monkeypatch.setattr(os, "sysconf", pages.get)
    text = (
        rf"a batch of {batch} images of 96 x 96 needs about 0 GiB of memory, .*: choose --batch-size [1-9]\d* or less"
    )
    with pytest.raises(OptionError, match=text):
        run_plan(plan, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_what_is_frozen_keeps_nothing_for_backward(monkeypatch):
    pages = {"SC_PHYS_PAGES": 2**15, "SC_PAGE_SIZE": 2**10}
    monkeypatch.setattr(os, "sysconf", pages.get)
    model = models.create("mobilenet", width=0.25, size=96)
    with pytest.raises(OptionError, match="choose --batch-size"):
        check_memory(model, 32)
    freeze(model, until="separable11")
    check_memory(model, 32)


def test_a_sheet_of_augmentations(place):
    result = minicnn("augment", "photos/val/upright/0.png", "--out", "sheet.png", cwd=place)
    assert "In sheet.png: 32 augmentations" in result.stdout
    with Image.open(place / "sheet.png") as sheet:
        assert min(sheet.size) > 1000


# ----------------------------------------------------------------------------------------- real photos


@needs_data
def test_ants_and_bees_from_few_photos(tmp_path):
    """The head alone: 88 % on photos that it has not seen, 85 % in the mean over five folds."""
    options = ("--weights", MOBILENET, "--data", ANTS_AND_BEES, "--out", "run", "--folds", 5)
    minicnn("transfer", "mobilenet", *options, cwd=tmp_path)
    found = report(tmp_path / "run")
    assert found["model"]["width"] == 0.25
    assert found["val"]["accuracy"] >= 0.88
    assert found["folds"]["accuracy"] >= 0.85
    assert found["frozen"]["head"]["equal"]
