"""The commands for weights: convert, predict a photo, audit, list and fetch, as a user types them."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn import cli, models
from minicnn.inspect import stage_outputs
from minicnn.weights import names
from minicnn.weights.catalogue import CATALOGUE
from parity.seeded import seeded_images, seeded_model
from weights import written

MINICNN = [sys.executable, "-W", "error", "-m", "minicnn.cli"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a file as akamaster publishes them, and two photos."""
    folder = tmp_path_factory.mktemp("weights")
    model = seeded_model({"name": "resnet20", "form": "akamaster"})
    state = model.state_dict()
    theirs = {
        f"module.{place.name}": state[ours]
        for ours, place in names.places(names.RESNET_AKAMASTER, state, numbered=False).items()
    }
    value, storages = written.state(**theirs)
    checkpoint = written.mapping(state_dict=value, epoch=written.integer(7))
    (folder / "resnet20.th").write_bytes(written.torch_stream(checkpoint, storages))
    for name, colour in (("red", "red"), ("a photo", "blue")):
        Image.new("RGB", (40, 30), colour).save(folder / f"{name}.png")
    np.savez(folder / "golden.npz", **stage_outputs(model, seeded_images(2, 32)))
    model.stage2.block1.layers.conv1.norm.eps = 0.1
    np.savez(folder / "other.npz", **stage_outputs(model, seeded_images(2, 32)))
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def call(*arguments):
        status = cli.main([*arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return call


def test_convert_and_predict(run):
    status, out, err = run("convert", "resnet20.th", "--model", "resnet20", "-o", "ours.safetensors")
    assert (status, err) == (0, "")
    assert "form akamaster: 97 of the 97 arrays have the names that it has" in out
    assert "note: took 'state_dict' of a checkpoint, and left 'epoch'" in out
    assert "note: every name started with 'module.', which was taken off" in out
    assert re.search(r"^In ours\.safetensors: 1\.1 MB$", out, re.M)
    status, ours, err = run("predict", "ours.safetensors", "red.png", "a photo.png")
    assert (status, err) == (0, "")
    lines = ours.splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["red.png", "a photo.png"]
    shown = re.findall(r"(\w+)  ([\d.]+) %", lines[0])
    assert len(shown) == 5
    assert {name for name, _ in shown} <= {
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    }
    shares = [float(share) for _, share in shown]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.3
    # Straight from the foreign file it is the same.
    assert run("predict", "resnet20", "red.png", "a photo.png", "--weights", "resnet20.th")[1] == ours
    assert len(re.findall("%", run("predict", "ours.safetensors", "red.png", "--top", "2")[1])) == 2


def test_a_bad_picture_does_not_stop_the_others(run):
    status, out, err = run("predict", "resnet20", "absent.png", "red.png", "--weights", "resnet20.th")
    assert status == 1
    assert "absent.png: cannot be read: No such file or directory" in err
    assert out.startswith("red.png  ")


def test_a_foreign_file_needs_the_name_of_its_network(run):
    status, _, err = run("predict", "resnet20.th", "red.png")
    assert status == 1
    assert "does not say of which network it is" in err
    assert "by its names it is resnet20 or" in err


def test_a_network_without_a_last_layer_names_no_classes(run, folder):
    with np.load(folder / "golden.npz"):
        pass
    state = {
        k: v for k, v in models.create("resnet20", weights="resnet20.th").state_dict().items() if not k.startswith("fc")
    }
    np.savez(folder / "notop.npz", **state)
    status, _, err = run("predict", "resnet20", "red.png", "--weights", "notop.npz")
    assert status == 2
    assert "notop.npz has no last layer" in err


def test_convert_refuses_and_no_strict_writes_what_fits(run, folder):
    state = models.create("resnet20", weights="resnet20.th").state_dict()
    state["extra"] = state.pop("fc.bias")
    np.savez(folder / "broken.npz", **state)
    status, _, err = run("convert", "broken.npz", "--model", "resnet20", "-o", "broken.safetensors")
    assert status == 1
    assert "missing (1):\n  fc.bias" in err
    assert not (folder / "broken.safetensors").exists()
    status, out, _ = run("convert", "broken.npz", "--model", "resnet20", "-o", "broken.safetensors", "--no-strict")
    assert status == 0
    assert "note: what does not fit was left: 96 entries fit\nmissing (1):\n  fc.bias" in out


def test_audit(run):
    status, out, _ = run("audit", "resnet20", "resnet20.th")
    assert (status, out.splitlines()[-1]) == (0, "sound")
    status, out, _ = run("audit", "resnet20", "resnet20.th", "--against", "golden.npz")
    assert (status, out.splitlines()[-1]) == (0, "sound")
    status, out, _ = run("audit", "resnet20", "resnet20.th", "--against", "other.npz")
    assert (status, out.splitlines()[-1]) == (1, "not sound")
    assert re.search(
        r"^FAULT: stage2 departs by [\d.e-]+ of the standard deviation, after 2 stages that agree$", out, re.M
    )
    assert "no known cause" in out


def test_the_catalogue_is_listed(run):
    _, out, _ = run("weights", "list")
    assert len(out.splitlines()) == len(CATALOGUE) + 1
    assert re.search(r"^resnet50-keras +74\.9 +92\.1  md5:2cb95161c43 +MIT \(K\. He\) +https://", out, re.M)
    _, out, _ = run("weights", "list", "xception")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["xception-keras", "xception-timm"]
    status, _, err = run("weights", "list", "lenet5")
    assert (status, err) == (1, "No weights of lenet5 are published.\n")


def test_fetch_says_where_the_file_is(run, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICNN_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "mobilenet_2_5_224_tf.h5").write_bytes(b"already here")
    status, out, _ = run("weights", "fetch", "mobilenet-0.25-keras")
    assert (status, out) == (0, f"{tmp_path}/mobilenet_2_5_224_tf.h5\n")


def test_as_a_process(folder):
    """With warnings as errors, in an interpreter of its own."""
    ran = subprocess.run(
        [*MINICNN, "audit", "resnet20", "resnet20.th"], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("command", [["convert"], ["audit"], ["weights", "list"], ["weights", "fetch"], ["predict"]])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, "--help"])
    assert stopped.value.code == 0
    assert "usage: minicnn" in capsys.readouterr().out
