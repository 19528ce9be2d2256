"""The command, run as a user runs it: as a process."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from minicnn import cli, data, models
from minicnn.errors import OptionError
from minicnn.train import job, load_checkpoint

MINICNN = [sys.executable, "-W", "error", "-m", "minicnn.cli"]


def minicnn(*arguments, cwd, **options):
    result = subprocess.run(
        [*MINICNN, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False, **options
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training with everything by default but the epochs."""
    folder = tmp_path_factory.mktemp("cli")
    result = minicnn("train", "lenet5", "--epochs", 2, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder, result


def test_training_tells_and_leaves_everything(run):
    folder, result = run
    assert sorted(path.name for path in (folder / "runs" / "lenet5-1").iterdir() if path.name != ".lock") == [
        "checkpoint.safetensors", "config.json", "confusion.png", "curves.png", "history.csv", "previous.safetensors",
    ]  # fmt: skip
    accuracy = float(re.search(r"Test accuracy: ([\d.]+) % of 360 images", result.stdout)[1])
    assert accuracy > 85
    assert len(re.findall(r"^ +\d +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} +\d+$", result.stdout, re.M)) == 10
    assert "Epoch 1/2" in result.stderr
    assert "Epoch 2/2" in result.stderr
    rows = (folder / "runs/lenet5-1/history.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,train_loss")
    assert len(rows) == 3
    assert abs(float(rows[2].split(",")[4]) * 100 - accuracy) < 0.01
    for name in ("curves.png", "confusion.png"):
        with Image.open(folder / "runs/lenet5-1" / name) as picture:
            assert min(picture.size) > 300
    assert json.loads((folder / "runs/lenet5-1/config.json").read_text())["model"] == {
        "name": "lenet5", "form": "modern",
    }  # fmt: skip


def test_predict_reads_digits(run, tmp_path):
    folder, _ = run
    _, test = data.load_digits()
    files = []
    for place in range(20):
        name = tmp_path / f"ein Bild {place} ü.png"
        Image.fromarray(255 - test.images[place]).resize((80, 80)).save(name)
        files.append(name)
    result = minicnn("predict", folder / "runs/lenet5-1", *files, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    answers = [re.fullmatch(r"(.+\.png)  (\d)  ([\d.]+) %", line) for line in lines]
    assert [answer[1] for answer in answers] == [str(name) for name in files]
    right = [int(answer[2]) == label for answer, label in zip(answers, test.labels, strict=False)]
    assert sum(right) >= 15
    three = minicnn("predict", folder / "runs/lenet5-1", files[0], "--top", 3, cwd=tmp_path).stdout
    assert len(re.findall(r"\d  [\d.]+ %", three)) == 3


def test_predict_goes_on_after_a_bad_file(run, tmp_path):
    folder, _ = run
    (tmp_path / "text.png").write_text("no picture")
    _, test = data.load_digits()
    Image.fromarray(test.images[0]).save(tmp_path / "good.png")
    result = minicnn("predict", folder / "runs/lenet5-1", "text.png", "missing.png", "good.png", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.startswith("good.png  ")
    assert "text.png: not an image" in result.stderr
    assert "missing.png: cannot be read: No such file" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], 2, "the following arguments are required: COMMAND"),
        (["train", "lenet4"], 2, "got 'lenet4'; did you mean 'lenet5'"),
        (["train", "lenet5", "--form", "papr"], 2, "did you mean 'paper'"),
        (["train", "lenet5", "--epochs", "0"], 2, "--epochs: must be 1 or more, got 0"),
        (["train", "lenet5", "--epochs", "x"], 2, "--epochs: invalid integer value: 'x'"),
        (["train", "lenet5", "--seed", "-1"], 2, "--seed: must be 0 or more, got -1"),
        (["train", "lenet5", "--lr", "nan"], 2, "lr must be > 0 and finite, got nan"),
        (["train", "lenet5", "--optimizer", "Adm"], 2, "--optimizer must be one of SGD, Adam"),
        (["train", "lenet5", "--data", "mnist"], 2, "--data mnist needs --data-dir DIR"),
        (["train", "lenet5", "--data", "mnist", "--data-dir", "nowhere"], 1, "nowhere"),
        (["train", "lenet5", "--resume"], 2, "--resume needs --out RUN"),
        (["train", "lenet5", "--resume", "--out", "nowhere"], 1, "nowhere: is not the folder of a run"),
        (["train", "lenet5", "--out", "a file/run"], 1, "a file/run"),
        (["predict", "nowhere", "a.png"], 2, "'nowhere' is no folder of a run, no file of weights and no network"),
        (["predict", "restnet50", "a.png"], 2, "did you mean 'resnet50'"),
        (["predict", "a file", "a.png"], 1, "a file: file is empty"),
        (["predict", "resnet50", "a.png", "--weights", "nowhere"], 1, "nowhere: no such file"),
        (["convert", "nowhere", "--model", "resnet50", "-o", "x"], 1, "nowhere: no such file"),
        (["convert", "a file", "--model", "resnt50", "-o", "x"], 2, "did you mean 'resnet50'"),
        (["convert", "a file", "--model", "resnet50"], 2, "required: -o/--out"),
        (["weights", "list", "restnet50"], 2, "did you mean 'resnet50'"),
        (["weights", "fetch", "resnet50-kers"], 2, "did you mean 'resnet50-keras'"),
        (["audit", "resnet50", "a file"], 1, "a file: file is empty"),
        (["predict", "nowhere"], 2, "required: IMAGE"),
        (["train", "vgg16", "--form", "keras", "--size", "64"], 2, "vgg16: size must be 224 x 224"),
        (["train", "resnet18", "--width", "-1"], 2, "resnet18: width must be"),
        (["train", "lenet5", "--width", "0.5"], 2, "create: option of lenet5 must be one of"),
        (["summary", "xceptoin"], 2, "did you mean 'xception'"),
        (["diff", "vgg16", "keras"], 2, "required: FORM"),
        (["diff", "vgg16", "keras", "kers"], 2, "did you mean 'keras'"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments, status, text, tmp_path):
    (tmp_path / "a file").write_text("")
    result = minicnn(*arguments, cwd=tmp_path)
    assert result.returncode == status, result.stderr
    assert text in result.stderr
    assert "Training" not in result.stdout or status == 1
    assert not (tmp_path / "runs").exists()


def test_a_run_is_not_overwritten(run):
    folder, _ = run
    result = minicnn("train", "lenet5", "--out", "runs/lenet5-1", cwd=folder)
    assert result.returncode == 2
    assert "runs/lenet5-1 holds a run already" in result.stderr


def test_help_explains_every_option(tmp_path):
    overview = minicnn("--help", cwd=tmp_path).stdout
    assert all(word in overview for word in ("train", "predict", "info", "examples:"))
    text = minicnn("train", "--help", cwd=tmp_path).stdout
    names = "form size width no-aux data data-dir epochs batch-size lr optimizer seed threads resume out"
    for option in names.split():
        assert re.search(rf"--{option}\b.*\S", text), option
    assert minicnn("--version", cwd=tmp_path).stdout.startswith("minicnn 0.")


def test_the_networks_are_listed_and_described(tmp_path):
    listed = minicnn("models", cwd=tmp_path).stdout
    for name in models.list():
        forms = re.findall(rf"^{name} +(\w+) +\S", listed, re.M)
        assert set(forms) == set(models.ARCHITECTURES[name].forms)
        assert forms[0] == models.ARCHITECTURES[name].default
    text = minicnn("summary", "resnet50", cwd=tmp_path).stdout
    assert re.search(r"^conv5_x .* 2048 x 7 x 7 +14,964,736 ", text, re.M)
    assert re.search(r"^all .* 25,557,032 +4,089,184,256$", text, re.M)
    assert re.search(r"^C1\.conv ", minicnn("summary", "lenet5", "--depth", "2", cwd=tmp_path).stdout, re.M)
    assert "Dropout p" in minicnn("diff", "googlenet", "paper", "torchvision", cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 67), ("vgg11", 32), ("googlenet", 96), ("inception_v3", 139), ("resnet18", 32), ("resnet20", None),
     ("xception", 48), ("mobilenet", 32)],
)  # fmt: skip
def test_every_family_trains_on_the_digits_and_reads_one(name, size, tmp_path, monkeypatch):
    digits, held_out = data.load_digits()
    few = [data.ArrayDataset(part.images[:n], part.labels[:n]) for part, n in ((digits, 32), (held_out, 12))]
    monkeypatch.setitem(job.DATASETS, "digits", job.DataSet(lambda folder: (few[0], few[1]), None, {}))
    plan = job.make_plan(
        name, epochs=1, batch_size=16, size=size, width=1 / 16, aux=False if name == "inception_v3" else None
    )
    assert plan.model.get("num_classes") == 10 or name == "resnet20"
    history, result, _ = job.run_plan(plan, tmp_path / "run", progress=False)
    assert np.isfinite(history.rows[0].train_loss)
    assert len(result["labels"]) == 12
    Image.fromarray(held_out.images[0]).save(tmp_path / "digit.png")
    probabilities = job.Reader(tmp_path / "run").read(tmp_path / "digit.png")
    assert probabilities.shape == (10,)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_a_batch_that_no_memory_holds_is_refused(tmp_path, monkeypatch):
    plan = job.make_plan("resnet18", batch_size=256, width=1 / 8)
    pages = {"SC_PHYS_PAGES": 2**18, "SC_PAGE_SIZE": 2**10}
    monkeypatch.setattr(os, "sysconf", pages.get)
    text = r"a batch of 256 images of 224 x 224 needs about \d+ GiB .* machine has 0: choose --batch-size \d+ or less"
    with pytest.raises(OptionError, match=text):
        job.run_plan(plan, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_info(tmp_path):
    text = minicnn("info", cwd=tmp_path, env={**os.environ, "MINICNN_NUM_THREADS": "3"}).stdout
    for word in ("numba", "numpy", "CPU", "kernel cache", "safetensors"):
        assert word in text
    assert re.search(r"^threads +3 of \d+$", text, re.M)


def test_ctrl_c_saves_and_a_resumed_run_ends_the_same(tmp_path):
    options = ["train", "lenet5", "--epochs", "4", "--seed", "3"]
    whole = minicnn(*options, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [*MINICNN, *options, "--out", "cut"], cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    history = tmp_path / "cut" / "history.csv"
    deadline = time.monotonic() + 120
    while not history.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == cli.INTERRUPTED == 130, errors
    assert "Traceback" not in errors
    assert re.search(r"stopped by SIGINT .*saved in cut", errors)
    assert len(history.read_text().splitlines()) < 5, "it was stopped too late to show anything"
    resumed = minicnn("train", "lenet5", "--resume", "--out", "cut", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    one, other = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    for name, array in one.model.items():
        np.testing.assert_array_equal(other.model[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [("--seed", 5, "--seed is 0 there, got 5"), ("--optimizer", "sgd", "--optimizer is adam there, got sgd")],
)
def test_resuming_keeps_the_run_s_own_settings(run, option, value, text):
    folder, _ = run
    result = minicnn("train", "lenet5", "--resume", "--out", "runs/lenet5-1", option, value, cwd=folder)
    assert result.returncode == 2
    assert text in result.stderr


@pytest.mark.parametrize("config", ["", "{}", "[1]", "null", '{"model": 3}', '{"data": "letters"}', '{"model": {}}'])
def test_a_damaged_plan_is_one_clear_line(run, tmp_path, config):
    folder, _ = run
    whole = json.loads((folder / "runs/lenet5-1/config.json").read_text())
    change = json.loads(config or "0")
    broken = json.dumps({**whole, **change}) if isinstance(change, dict) and change else config
    (tmp_path / "config.json").write_text(broken)
    result = minicnn("predict", tmp_path, "a.png", cwd=tmp_path)
    assert result.returncode == 1
    assert "config.json: cannot be read as a run's plan" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_name_that_is_no_text(run, tmp_path):
    folder, _ = run
    _, test = data.load_digits()
    name = os.fsdecode(b"seven \xff.png")
    Image.fromarray(test.images[0]).save(tmp_path / name)
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    result = minicnn(
        "predict", folder / "runs/lenet5-1", name, "none \udcff.png", cwd=tmp_path, env=strict, errors="surrogateescape"
    )
    assert result.stdout.startswith(f"{name}  ")
    assert result.returncode == 1
    assert "none \\udcff.png: cannot be read" in result.stderr


def test_without_what_the_report_needs_nothing_is_trained(tmp_path):
    """Better than an error after hours of training."""
    code = (
        "import sys; sys.modules['matplotlib'] = None; from minicnn import cli; sys.exit(cli.main(['train', 'lenet5']))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr == "minicnn: the report of a run needs the package matplotlib: pip install 'minicnn[all]'\n"
    assert not list(tmp_path.iterdir())


def test_a_closed_pipe_is_no_disaster(run):
    folder, _ = run
    command = f"{' '.join(MINICNN)} train lenet5 --epochs 1 --out piped 2>&1 | head -n 1"
    result = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    assert "Traceback" not in result.stdout
    silent = f"{' '.join(MINICNN)} info | true"  # the reader has gone before the first line
    result = subprocess.run(silent, shell=True, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert result.stderr == ""


def test_a_plan_follows_recipe_data_set_and_wishes():
    plan = job.make_plan("lenet5")
    assert (plan.model["form"], plan.epochs, plan.batch_size, plan.optimizer["name"]) == ("modern", 20, 32, "Adam")
    assert plan.schedule == {"name": "Cosine", "epochs": 20}
    plan = job.make_plan("lenet5", dataset="mnist", data_dir="x", epochs=3, lr=0.5, optimizer="sgd")
    assert (plan.batch_size, plan.optimizer) == (64, {"name": "SGD", "lr": 0.5, "momentum": 0.9})
    assert plan.schedule == {"name": "Cosine", "epochs": 3}
    plan = job.make_plan("lenet5", form="paper")
    assert plan.optimizer["name"] == "StochasticDiagonalLevenbergMarquardt"
    assert (plan.batch_size, plan.model["first_weights"]) == (1, "efficient_backprop")
