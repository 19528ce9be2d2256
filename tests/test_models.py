"""Every architecture, in every form: found by name, rebuilt from its config, complete around the network."""

import json

import numpy as np
import pytest

import minicnn
from minicnn import models, nn, train
from minicnn.errors import OptionError

every_form = pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name in models.list() for form in models.ARCHITECTURES[name].forms]
)


def thin(name, form, **options):
    """Make a network for ten classes, of a sixteenth of the maps if it is one for photos."""
    wide = {"width": 1 / 16} if "width" in models.ARCHITECTURES[name].options else {}
    return models.create(name, form=form, num_classes=10, **wide, **options)


def test_list_is_sorted_and_complete():
    assert models.list() == sorted(models.ARCHITECTURES)
    assert "lenet5" in models.list()


@pytest.mark.parametrize("name", models.list())
def test_the_default_form_is_one_of_the_forms(name):
    architecture = models.ARCHITECTURES[name]
    assert architecture.name == name
    with nn.init.using(nn.init.zeros):
        assert models.create(name).config["form"] == architecture.default
    assert all(form.name == key and form.summary for key, form in architecture.forms.items())


@every_form
def test_config_rebuilds_the_network(name, form):
    model = thin(name, form)
    twin = models.create(**json.loads(json.dumps(model.config)))
    assert twin.config == model.config
    assert {k: v.shape for k, v in twin.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
    twin.load_state_dict(model.state_dict())


@every_form
def test_a_seed_fixes_the_first_weights(name, form):
    def build(seed):
        minicnn.manual_seed(seed)
        return thin(name, form).state_dict()

    first, again, other = build(3), build(3), build(4)
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert any((first[key] != other[key]).any() for key in first)
    weights = [array.ravel()[:8].tolist() for array in first.values() if array.ndim > 1 and array.size > 8]
    assert len({tuple(w) for w in weights}) == len(weights)  # no two layers start alike


@every_form
def test_what_stands_around_the_network(name, form):
    model = thin(name, form)
    digits = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    images = model.form.preprocess(digits)
    assert images.dtype == np.float32
    outputs = model(images)
    labels = np.array([1, 2, 3])
    loss = model.form.loss(outputs, labels)
    assert loss.shape == ()
    loss.backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in model.parameters())
    probabilities = model.form.probabilities(outputs)
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    predicted = model.form.predict(outputs)
    np.testing.assert_array_equal(predicted, probabilities.argmax(axis=1))
    assert predicted.dtype.kind == "i"
    recipe = model.form.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    optimizer, schedule = recipe["optimizer"], recipe["schedule"]
    getattr(train, optimizer.pop("name"))(model.parameters(), **optimizer)
    assert 0 < train.make_schedule(schedule)(0.0) <= 1
    assert set(recipe.get("model", {})) <= set(models.ARCHITECTURES[name].options)
    assert "name" in model.form.recipe()["optimizer"]  # a fresh dict each time


@every_form
def test_an_empty_batch_gives_empty_outputs(name, form):
    model = thin(name, form).eval()
    outputs = model(model.form.preprocess(np.zeros((0, 28, 28), np.uint8)))
    assert outputs.shape == (0, 10)
    assert model.form.predict(outputs).shape == (0,)
    assert model.form.probabilities(outputs).shape == (0, 10)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"name": "lenet"}, r"create: name must be one of .*'lenet5'.*, got 'lenet'; did you mean 'lenet5'\?"),
        ({"name": None}, "create: name must be one of .*, got None"),
        ({"name": "lenet5", "form": "papers"}, r"create: form of lenet5 must be .*did you mean 'paper'\?"),
        ({"name": "lenet5", "num_class": 3}, r"create: option of lenet5 must be .*did you mean 'num_classes'\?"),
    ],
)
def test_what_is_not_known_is_refused_with_the_nearest(arguments, text):
    with pytest.raises(OptionError, match=text):
        models.create(**arguments)
