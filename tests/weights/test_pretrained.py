"""From a file to a network: what it is of is found out, each array finds its place, and what does not fit is listed."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy

import minicnn
from minicnn import models, nn, weights
from minicnn.errors import LoadError, OptionError, StateError
from minicnn.models import pretrained
from minicnn.weights import Entry, Source, names
from parity.seeded import seeded_images, seeded_model
from weights import written

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder {DATA}")
SMALL = {"name": "resnet18", "width": 0.25, "num_classes": 7}


def renamed(model, table, *, numbered):
    """The arrays of a model by the names that others have for them, in our order of numbers."""
    state = model.state_dict()
    return {place.name: state[ours] for ours, place in names.places(table, state, numbered=numbered).items()}


def assert_same(model, other):
    assert model.config == other.config
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name], err_msg=name)


@pytest.fixture
def theirs(tmp_path):
    """Save a small ResNet-18 under torchvision's names, after a change of the dict."""
    model = seeded_model(SMALL)

    def save(change=lambda state: None, called="their.npz"):
        state = renamed(model, names.RESNET_TORCH, numbered=False)
        change(state)
        np.savez(tmp_path / called, **state)
        return tmp_path / called

    save.model = model
    return save


# ----------------------------------------------------------------------------------------- Caffe, ONNX, our own

CAFFE = [
    ({"name": "lenet5", "form": "caffe", "num_classes": 7}, names.LENET5_CAFFE),
    ({"name": "alexnet", "form": "caffe", "width": 0.125, "num_classes": 7}, names.ALEXNET_CAFFE),
    ({"name": "vgg16", "form": "caffe", "width": 0.125, "num_classes": 7}, names.VGG_CAFFE),
    ({"name": "vgg19", "form": "caffe", "width": 0.125, "num_classes": 7}, names.VGG_CAFFE),
    ({"name": "googlenet", "form": "caffe", "width": 0.25, "num_classes": 7, "aux": True}, names.GOOGLENET_CAFFE),
]


@pytest.mark.parametrize("first_version", [False, True])
@pytest.mark.parametrize(
    ("options", "table"), CAFFE, ids=lambda value: value.get("name") if isinstance(value, dict) else ""
)
def test_a_file_of_caffe(tmp_path, options, table, first_version):
    model = seeded_model(options)
    layers = {}
    for name, array in renamed(model, table, numbered=True).items():
        layers.setdefault(name.rpartition("/")[0], []).append(array)
    (tmp_path / "a.caffemodel").write_bytes(written.caffemodel(layers, first_version=first_version))
    loaded = models.create(options["name"], weights=tmp_path / "a.caffemodel")
    assert_same(model, loaded)
    if options["name"] != "lenet5":
        images = seeded_images(1, model.size)
        with minicnn.no_grad():
            np.testing.assert_array_equal(loaded.eval()(images).numpy(), model.eval()(images).numpy())


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_batch_norm_in_two_layers_as_caffe_has_it(tmp_path, depth):
    """Its statistics are sums that a third number divides; and ResNet-50's first convolution has a bias before it."""
    model = seeded_model({"name": f"resnet{depth}", "form": "caffe", "width": 0.125, "num_classes": 7})
    (table,) = names.TABLES[model.name, "caffe"]
    bias = np.linspace(-1, 1, 8, dtype="f4")
    state = model.state_dict()
    layers = {}
    for ours, place in sorted(names.places(table, state, numbered=True).items(), key=lambda pair: pair[1].name):
        array = state[ours] + bias if ours == "conv1.norm.running_mean" else state[ours]
        layers.setdefault(place.name.rpartition("/")[0], []).append(array * 4 if place.divisor else array)
    for layer, arrays in layers.items():
        arrays += [np.float32([4.0])] if layer.startswith("bn") else []
    layers["conv1"].append(bias)
    (tmp_path / "r.caffemodel").write_bytes(written.caffemodel(layers))
    loaded = models.create(model.name, weights=tmp_path / "r.caffemodel")
    assert loaded.config == model.config
    for name, array in state.items():
        near = 1e-6 if name == "conv1.norm.running_mean" else 0
        np.testing.assert_allclose(loaded.state_dict()[name], array, rtol=0, atol=near)
    pretrained.convert(tmp_path / "r.caffemodel", model.name, tmp_path / "r.safetensors")
    assert_same(loaded, models.load(tmp_path / "r.safetensors"))


@pytest.mark.parametrize("key", names.TABLES, ids="-".join)
def test_a_tensor_too_few_and_one_too_many_are_listed(key):
    """Of every network and form, with the names of its table; no numbers are needed to see that."""
    name, form = key
    options = {"aux": True} if "aux" in models.ARCHITECTURES[name].options and form != "keras" else {}
    with nn.init.using(nn.init.zeros):
        model = models.create(name, form=form, **options)
    own = pretrained.tensors(model)
    format = {"caffe": "caffe", "keras": "keras", "keras_v2": "keras"}.get(form, "torch")
    places = names.places(names.TABLES[key][0], own, numbered=format != "torch")
    turned = {4: (2, 3, 1, 0), 2: (1, 0)} if format == "keras" else {}
    entries = {}
    for ours, place in places.items():
        array = own[ours].array
        axes = turned.get(array.ndim, range(array.ndim))
        if format == "keras" and array.ndim == 4 and "depthwise" in ours:
            axes = (2, 3, 0, 1)
        array = array.transpose(axes)
        entries[place.name] = Entry(array.shape, array.dtype, lambda array=array: array)
    assert pretrained.gather(model, Source("file", format, entries)).report.ok
    lost = list(places.values())[len(places) // 2].name
    entries["nobody.knows.this"] = entries.pop(lost)
    with pytest.raises(StateError) as caught:
        pretrained.gather(model, Source("file", format, entries))
    assert f"missing (1):\n  {lost}" in str(caught.value)
    assert "unexpected (1):\n  nobody.knows.this" in str(caught.value)


@pytest.mark.parametrize(
    "save", [lambda s: written.onnx(s), safetensors.numpy.save, lambda s: written.torch_zip(*written.state(**s))]
)
def test_torchvisions_names_in_any_file(tmp_path, theirs, save):
    path = tmp_path / "weights"
    path.write_bytes(save(dict(np.load(theirs()))))
    assert_same(theirs.model, models.create("resnet18", weights=path))


OWN = [
    {"name": "lenet5", "form": "paper"},
    {"name": "lenet5", "form": "modern", "num_classes": 26},
    {"name": "resnet18", "form": "torchvision", "width": 0.25, "in_channels": 1},
    {"name": "resnet20", "form": "paper", "shortcut": "B"},
    {"name": "googlenet", "form": "torchvision", "width": 0.25, "aux": True},
    {"name": "mobilenet", "form": "keras", "width": 0.25, "include_top": False},
]


@pytest.mark.parametrize("options", OWN, ids=lambda options: options["name"])
def test_our_own_names(tmp_path, options):
    model = seeded_model(options)
    np.savez(tmp_path / "w.npz", **model.state_dict())
    loaded = models.create(options["name"], form=options["form"], weights=tmp_path / "w.npz")
    assert_same(model, loaded)


def test_numbers_of_other_precision_are_converted(theirs):
    def change(state):
        state["conv1.weight"] = state["conv1.weight"].astype("f8")
        state["fc.bias"] = state["fc.bias"].astype("f2")

    model = models.create("resnet18", weights=theirs(change))
    np.testing.assert_array_equal(model.conv1.conv.weight.numpy(), theirs.model.conv1.conv.weight.numpy())
    np.testing.assert_allclose(model.fc.bias.numpy(), theirs.model.fc.bias.numpy(), rtol=1e-3)


# ----------------------------------------------------------------------------------------- what does not fit


def test_what_is_missing_left_over_or_misshapen_is_listed(theirs):
    def change(state):
        state["layer1.0.conv1.wieght"] = state.pop("layer1.0.conv1.weight")
        state["layer9.extra"] = np.zeros(3, "f4")
        state["layer2.0.bn1.bias"] = np.zeros(5, "f4")
        state["layer3.0.bn1.weight"] = np.zeros(64, "i8")

    path = theirs(change)
    with pytest.raises(StateError) as caught:
        models.create("resnet18", weights=path)
    message = str(caught.value)
    for part in (
        f"{path}: nothing was loaded into resnet18 (torchvision)",
        "missing (1):\n  layer1.0.conv1.weight  (nearest: layer1.0.conv1.wieght)",
        "unexpected (2):\n  layer1.0.conv1.wieght  (nearest: layer1.0.conv1.weight)\n  layer9.extra",
        "another shape (1):\n  layer2.0.bn1.bias: expected (32,), got (5,)",
        "another dtype (1):\n  layer3.0.bn1.weight: expected float32, got int64",
        "strict=False",
    ):
        assert part in message


def test_not_strict_loads_the_rest_and_says_what_it_left(theirs):
    path = theirs(lambda state: state.pop("layer1.0.conv1.weight"))
    with pytest.warns(
        UserWarning, match=r"not everything was loaded: 101 entries fit\nmissing \(1\):\n  layer1.0.conv1.weight"
    ):
        model = models.create("resnet18", weights=path, strict=False)
    left = "conv2_x.block1.layers.conv1.conv.weight"
    for name, array in model.state_dict().items():
        if name != left:
            np.testing.assert_array_equal(array, theirs.model.state_dict()[name])
    assert model.state_dict()[left].std() > 0.01  # it starts as every layer does


def test_another_number_of_classes_needs_a_word(theirs):
    with pytest.raises(StateError, match=r"fc.weight: expected \(2, 128\), got \(7, 128\)"):
        models.create("resnet18", weights=theirs(), num_classes=2)
    with pytest.warns(UserWarning, match="not everything was loaded"):
        model = models.create("resnet18", weights=theirs(), num_classes=2, strict=False)
    assert model.fc.weight.numpy().std() > 0.01
    np.testing.assert_array_equal(model.conv1.conv.weight.numpy(), theirs.model.conv1.conv.weight.numpy())


def test_the_top_is_left_out_when_it_is_not_wanted(theirs):
    model = models.create("resnet18", weights=theirs(), include_top=False)
    assert "fc.weight" not in model.state_dict()
    report = pretrained.load(model, theirs())
    assert report.ok
    notes = pretrained.gather(model, weights.open(theirs())).notes
    assert notes == ["2 arrays of parts that this network is without were left: fc"]


def test_a_file_without_a_top_gives_a_network_without(theirs):
    path = theirs(lambda state: [state.pop(key) for key in ("fc.weight", "fc.bias")])
    assert models.create("resnet18", weights=path).include_top is False
    with pytest.raises(StateError, match=r"missing \(2\):\n  fc.weight\n  fc.bias"):
        models.create("resnet18", weights=path, include_top=True)


def test_auxiliary_heads_are_left_out_when_they_are_not_wanted(tmp_path):
    model = seeded_model({"name": "googlenet", "width": 0.25, "aux": True})
    np.savez(tmp_path / "g.npz", **renamed(model, names.GOOGLENET_TORCH, numbered=False))
    assert models.create("googlenet", weights=tmp_path / "g.npz").aux is True
    without = models.create("googlenet", weights=tmp_path / "g.npz", aux=False)
    np.testing.assert_array_equal(without.fc.weight.numpy(), model.fc.weight.numpy())


def test_what_pytorch_counts_is_no_weight(theirs):
    path = theirs(
        lambda state: state.update(
            {"bn1.num_batches_tracked": np.array(7), "layer1.0.bn1.num_batches_tracked": np.array(7)}
        )
    )
    assert_same(theirs.model, models.create("resnet18", weights=path))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_loaded_with_a_warning(theirs, bad):
    def change(state):
        state["fc.bias"][:2] = bad

    with pytest.warns(UserWarning, match=r"their.npz: fc.bias has 2 numbers that are NaN or infinite"):
        models.create("resnet18", weights=theirs(change))


def test_weights_of_another_network(theirs):
    with pytest.raises(
        LoadError, match=r"holds no weights of 'vgg16' .*\(conv1.weight, .* look like those of resnet18 or"
    ):
        models.create("vgg16", weights=theirs())
    with pytest.raises(LoadError, match=r"holds no weights of 'resnet18' in the form 'paper'"):
        models.create("resnet18", form="paper", weights=theirs())
    with pytest.raises(StateError, match=r"missing \(80\)"):  # its sister has the same names, and more of them
        models.create("resnet34", weights=theirs())


def test_an_error_leaves_the_network_as_it_was(theirs, tmp_path):
    model = models.create("resnet18", width=0.25, num_classes=7)
    before = model.state_dict()
    data = bytearray(theirs().read_bytes())
    at = data.rfind(theirs.model.fc.bias.numpy().tobytes())
    data[at] ^= 1
    (tmp_path / "damaged.npz").write_bytes(data)
    with pytest.raises(LoadError, match=r"fc.bias.npy' is damaged: its checksum"):
        pretrained.load(model, tmp_path / "damaged.npz")
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("shape", [(10**9, 0, 7, 7), (0, 3, 7, 7), (10**9, 3, 0, 0)])
def test_a_first_layer_that_cannot_be(theirs, shape):
    """An array of no numbers may have any size on its other axes."""
    with pytest.raises((LoadError, StateError)) as caught:
        models.create("resnet18", weights=theirs(lambda state: state.update({"conv1.weight": np.zeros(shape, "f4")})))
    assert "their.npz" in str(caught.value)


def test_options_and_forms_are_checked_before_the_file(tmp_path):
    with pytest.raises(OptionError, match="did you mean 'torchvision'"):
        models.create("resnet18", form="torchvison", weights=tmp_path / "absent")
    with pytest.raises(LoadError, match="no such file"):
        models.create("resnet18", weights=tmp_path / "absent")


def test_how_it_was_found_out_is_told(theirs):
    found = pretrained.recognise("resnet18", weights.open(theirs()))
    assert found.options == {"width": 0.25, "num_classes": 7}
    assert found.how == [
        "form torchvision: 102 of the 102 arrays have the names that it has",
        "width 0.25: the first layer has 16 maps instead of 64",
        "num_classes 7: the last layer has so many outputs",
    ]


# ----------------------------------------------------------------------------------------- convert


def test_convert_writes_all_that_one_must_know(theirs, tmp_path):
    import hashlib

    source, out = theirs(), tmp_path / "ours.safetensors"
    pretrained.convert(source, "resnet18", out)
    with safetensors.safe_open(out, framework="numpy") as file:
        facts = file.metadata()
    assert {key: facts[key] for key in ("minicnn", "model", "form", "source")} == {
        "minicnn": "1", "model": "resnet18", "form": "torchvision", "source": "their.npz",
    }  # fmt: skip
    assert facts["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert json.loads(facts["options"]) == {"width": 0.25, "num_classes": 7}
    assert json.loads(facts["preprocessing"])["mean"] == [0.485, 0.456, 0.406]
    assert "classes" not in facts  # seven classes, whose names nobody knows
    assert_same(theirs.model, models.load(out))
    assert_same(theirs.model, models.create("resnet18", weights=out))
    assert safetensors.numpy.load_file(out).keys() == theirs.model.state_dict().keys()
    with pytest.raises(LoadError, match="holds the weights of 'resnet18', not of 'resnet34'"):
        models.create("resnet34", weights=out)
    with pytest.raises(LoadError, match="in the form 'torchvision', not 'paper'"):
        models.create("resnet18", form="paper", weights=out)


def test_the_names_of_the_classes_come_along(tmp_path):
    np.savez(
        tmp_path / "w.npz",
        **renamed(seeded_model({"name": "resnet18", "width": 0.25}), names.RESNET_TORCH, numbered=False),
    )
    pretrained.convert(tmp_path / "w.npz", "resnet18", tmp_path / "w.safetensors")
    assert models.load(tmp_path / "w.safetensors").classes[:2] == ("tench", "goldfish")
    arrays = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    facts = {"minicnn": "1", "model": "resnet18", "form": "torchvision", "options": '{"width": 0.25}'}
    own = [f"kind {number}" for number in range(1000)]
    safetensors.numpy.save_file(arrays, tmp_path / "own.safetensors", {**facts, "classes": json.dumps(own)})
    assert models.load(tmp_path / "own.safetensors").classes == tuple(own)
    pretrained.convert(tmp_path / "own.safetensors", "resnet18", tmp_path / "again.safetensors")
    assert models.load(tmp_path / "again.safetensors").classes == tuple(own)


@pytest.mark.parametrize(
    ("facts", "saying"),
    [
        ({"options": "no JSON"}, "nothing sound about options"),
        ({"options": "[]"}, "nothing sound about options"),
        ({"form": "keras_v9"}, "in the form 'keras_v9'"),
        ({"model": "resnet17"}, "does not say of which network it is"),
        ({"options": '{"widht": 1}'}, "option of resnet18"),
        ({"options": '{"width": 1e12}'}, "asks for a network that cannot be"),
        ({"options": '{"width": "much"}'}, "asks for a network that cannot be"),
        ({"classes": '{"a": 1}'}, "nothing sound about classes"),
    ],
)
def test_metadata_that_were_tampered_with(tmp_path, theirs, facts, saying):
    pretrained.convert(theirs(), "resnet18", tmp_path / "w.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "w.safetensors")
    with safetensors.safe_open(tmp_path / "w.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors", {**metadata, **facts})
    with pytest.raises((LoadError, OptionError), match=re.escape(saying)):
        models.load(tmp_path / "w.safetensors")


def test_a_conversion_that_fails_leaves_what_was_there(theirs, tmp_path):
    out = tmp_path / "ours.safetensors"
    out.write_text("before")
    with pytest.raises(StateError):
        pretrained.convert(theirs(lambda state: state.pop("bn1.weight")), "resnet18", out)
    assert out.read_text() == "before"
    with pytest.raises(minicnn.errors.SaveError, match="cannot be written: No such file or directory"):
        pretrained.convert(theirs(), "resnet18", tmp_path / "absent" / "w.safetensors")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ours.safetensors", "their.npz"]


@pytest.mark.slow
def test_converting_vgg16_needs_little_more_memory_than_the_file_is_long(tmp_path):
    with nn.init.using(nn.init.zeros):
        model = models.create("vgg16")
    state = renamed(model, names.TABLES["vgg16", "torchvision"][0], numbered=False)
    value, _ = written.state(**state)
    with zipfile.ZipFile(tmp_path / "vgg16.pth", "w") as archive:
        archive.writestr("vgg16/data.pkl", written.pickled(value))
        for name, array in state.items():
            archive.writestr(f"vgg16/data/{name}", array.data)
    size = os.path.getsize(tmp_path / "vgg16.pth")
    assert size > 553e6
    measure = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'minicnn.cli', *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)"
    )
    convert = ["convert", tmp_path / "vgg16.pth", "--model", "vgg16", "-o", tmp_path / "vgg16.safetensors"]
    ran = subprocess.run([sys.executable, "-c", measure, *convert], check=True, capture_output=True, text=True)
    assert int(ran.stdout) < 1.3 * size
    assert os.path.getsize(tmp_path / "vgg16.safetensors") > 553e6


def test_a_keras_file_of_before_names_were_kept(tmp_path):
    """Such a .keras names its groups by class and number; what the layers are called stands in its description."""
    import io

    import h5py

    layers = [("Conv2D", "fc1_conv"), ("InputLayer", "input"), ("Conv2D", "other"), ("BatchNormalization", "bn_a")]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for place, group in enumerate(("conv2d", "conv2d_1", "batch_normalization")):
            file.create_group(f"layers/{group}/vars")["0"] = np.full(2, place, "f4")
    config = {"config": {"layers": [{"class_name": kind, "config": {"name": name}} for kind, name in layers]}}
    path = tmp_path / "old.keras"
    path.write_bytes(
        written.zipped([("config.json", json.dumps(config).encode()), ("model.weights.h5", buffer.getvalue())])
    )
    read = {name: entry.read()[0] for name, entry in weights.open(path).items()}
    assert read == {"fc1_conv/0": 0, "other/0": 1, "bn_a/0": 2}
    # Where the file has names, they count, and not what a group happens to be called.
    with h5py.File(buffer, "r+") as file:
        for group, name in (("conv2d", "other"), ("conv2d_1", "fc1_conv"), ("batch_normalization", "conv2d_1")):
            file[f"layers/{group}/vars"].attrs["name"] = name
    members = [("config.json", json.dumps(config).encode()), ("model.weights.h5", buffer.getvalue())]
    path.write_bytes(written.zipped(members))
    assert {name: entry.read()[0] for name, entry in weights.open(path).items()} == {
        "other/0": 0, "fc1_conv/0": 1, "conv2d#0/0": 2,
    }  # fmt: skip
    with h5py.File(buffer, "r+") as file:
        for group in file["layers"].values():
            del group["vars"].attrs["name"]
    (tmp_path / "old.weights.h5").write_bytes(buffer.getvalue())
    with pytest.raises(LoadError, match=r"has no names of layers.* they are in a \.keras or an \.h5 file"):
        weights.open(tmp_path / "old.weights.h5")


# ----------------------------------------------------------------------------------------- the tables


@pytest.mark.parametrize("key", names.TABLES, ids="-".join)
def test_a_table_names_every_array_once(key):
    name, form = key
    options = {"aux": True} if "aux" in models.ARCHITECTURES[name].options else {}
    with nn.init.using(nn.init.zeros):
        model = models.create(name, form=form, **options)
    own = pretrained.tensors(model)
    for table in names.TABLES[key]:
        found = names.places(table, own, numbered=form in ("keras", "keras_v2", "caffe"))
        unnamed = {ours for ours in own if ours not in found}
        assert unnamed <= {"aux1.fc.weight", "aux1.fc.bias"}  # Keras' Inception has no auxiliary head
        assert len({place.name for place in found.values()}) == len(found)
        assert not any("?" in place.name or "{" in place.name or "[" in place.name for place in found.values())
        patterns = [row.knows for row in names.rows(table)]
        assert all(any(p.fullmatch(place.name) for p in patterns) for place in found.values())


@pytest.mark.parametrize("key", [key for key in names.TABLES if not key[0].startswith("resnet")], ids="-".join)
def test_whose_a_file_is(key):
    name, form = key
    with nn.init.using(nn.init.zeros):
        own = pretrained.tensors(models.create(name, form=form))
    found = names.places(names.TABLES[key][0], own, numbered=form in ("keras", "caffe"))
    guessed = names.whose(place.name for place in found.values())
    assert key in guessed
    assert {other[:3] for other, _ in guessed} == {name[:3]}


# ----------------------------------------------------------------------------------------- real files


@needs_data
def test_the_real_resnet20():
    model = models.create("resnet20", weights=DATA / "weights" / "resnet20-12fca82f.th")
    assert model.form.name == "akamaster"
    assert sum(parameter.size for parameter in model.parameters()) == 269_722
    assert model.classes[3] == "cat"


@needs_data
def test_the_real_mobilenet_knows_what_is_in_photos():
    photos = sorted(DATA.glob("imagenet_samples/*.JPEG"))
    labels = np.array([int(photo.name[:3]) for photo in photos])
    model = models.create("mobilenet", weights=DATA / "weights" / "mobilenet_v1_0.25_224.h5").eval()
    with minicnn.no_grad():
        batches = [photos[start : start + 20] for start in range(0, len(photos), 20)]
        logits = [
            model(model.form.preprocess([minicnn.data.read_photo(p, upright=False) for p in b])).numpy()
            for b in batches
        ]
    ranked = np.concatenate(logits).argsort(1)[:, ::-1]
    assert (ranked[:, 0] == labels).sum() == 63
    assert (ranked[:, :5] == labels[:, None]).any(1).sum() == 84


def test_the_data_is_there_in_ci():
    assert DATA.is_dir() or not os.environ.get("CI")
