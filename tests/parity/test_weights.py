"""Files as PyTorch, Keras and safetensors write them, of every network: each array finds its place by its name."""

import os
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import data, models, nn
from minicnn.models import pretrained
from minicnn.weights import Entry, Source
from parity.originals import CASES, Keras, Torch, torchvision
from parity.seeded import seeded_images, seeded_model

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MISSING = [package for package in ("torch", "torchvision", "timm", "keras") if find_spec(package) is None]
pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (CONTRIBUTING.md, add a network)"),
]


def save_as_zip(original, path):
    original.torch.save(original.net.state_dict(), path)


def save_as_legacy(original, path):
    """A checkpoint as training scripts write it, in the stream of torch before 1.6, of a network on several GPUs."""
    state = {f"module.{name}": tensor for name, tensor in original.net.state_dict().items()}
    original.torch.save({"epoch": 3, "best": 0.5, "state_dict": state}, path, _use_new_zipfile_serialization=False)


def save_as_safetensors(original, path):
    from safetensors.torch import save_file

    save_file(original.net.state_dict(), path)


def save_by_keras(original, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called legacy
        (original.net.save_weights if str(path).endswith(".weights.h5") else original.net.save)(path)


WRITERS = {
    Torch: {"zip.pth": save_as_zip, "legacy.tar": save_as_legacy, "a.safetensors": save_as_safetensors},
    Keras: {"a.h5": save_by_keras, "a.weights.h5": save_by_keras, "a.keras": save_by_keras},
}


def assert_same(model, other):
    ours, others = model.state_dict(), other.state_dict()
    assert ours.keys() == others.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_files_of_the_original_give_our_weights_back(case, tmp_path):
    model, original = seeded_model(case.options), case.original()
    original.take(model)
    writers = list(WRITERS[type(original)].items())
    if case.options["name"].startswith(("vgg", "resnet1")):  # large ones: not every way of writing each of them
        writers = [writers[CASES.index(case) % 3]]
    images = seeded_images(1, model.size)
    with minicnn.no_grad():
        expected = model.eval()(images).numpy()
    for name, write in writers:
        path = tmp_path / name
        write(original, path)
        loaded = models.create(case.options["name"], weights=path)
        os.unlink(path)
        assert {key: loaded.config[key] for key in case.options} == case.options
        assert_same(model, loaded)
        with minicnn.no_grad():
            np.testing.assert_array_equal(loaded.eval()(images).numpy(), expected)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder {DATA}")
def test_the_real_mobilenet_answers_as_keras_does():
    """The same file, read by Keras and by us, and the same photos."""
    path = DATA / "weights" / "mobilenet_v1_0.25_224.h5"
    original = next(case for case in CASES if str(case) == "mobilenet-keras-0.25").original()
    original.net.load_weights(path)
    model = models.create("mobilenet", weights=path).eval()
    photos = [data.read_photo(photo) for photo in sorted(DATA.glob("imagenet_samples/*.JPEG"))[:20]]
    images = model.form.preprocess(photos)
    theirs = original.logits(images)
    with minicnn.no_grad():
        ours = model(images).numpy()
    assert np.abs(ours - theirs).max() <= 1e-4 * theirs.std()
    np.testing.assert_array_equal(ours.argsort(1)[:, -5:], theirs.argsort(1)[:, -5:])


@pytest.mark.parametrize("name", ["vgg11", "vgg16_bn", "vgg19", "resnet18", "resnet50", "inception_v3"])
def test_timms_names_of_torchvisions_networks(name):
    """timm calls some layers otherwise, and writes VGG's top as convolutions; its files find their place too."""
    torchvision()
    import timm

    shapes = {key: tuple(value.shape) for key, value in timm.create_model(name).state_dict().items()}
    entries = {
        key: Entry(shape, np.dtype(np.float32), lambda shape=shape: np.broadcast_to(np.float32(1), shape))
        for key, shape in shapes.items()
    }
    source = Source("timm", "safetensors", entries)
    found = pretrained.recognise(name, source)
    assert found.form == "torchvision"
    with nn.init.using(nn.init.zeros):
        model = models.create(name, form=found.form, **found.options)
    assert pretrained.gather(model, source).report.ok
