"""Transfer learning in Python: what is frozen stays, features are what the network makes, a head learns from them."""

import importlib

import numpy as np
import pytest
from PIL import Image

import minicnn.functional as F
from minicnn import models, nn, random, train, transfer
from minicnn.autograd import no_grad
from minicnn.data import ArrayDataset, Loader, augmentation
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.transfer import Views, features, learning, one_view
from minicnn.transfer.features import KEPT, dependences, key

RNG = np.random.default_rng(0)


def small(name, **options):
    """A network without its top, as narrow and small as it gets."""
    form = models.ARCHITECTURES[name].forms[options.get("form") or models.ARCHITECTURES[name].default]
    if name != "lenet5":
        options = {"width": 1 / 32, "size": max(form.smallest, 32), **options}
    return models.create(name, include_top=False, pooling="avg", **options)


def pixels(base, count=4):
    return RNG.normal(size=(count, base.in_channels, base.size, base.size)).astype(np.float32)


def steps(model, x, labels, optimizer, count=2):
    for _ in range(count):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()


# ----------------------------------------------------------------------------------------- without the top


@pytest.mark.parametrize("name", models.list())
@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_pooling_is_the_mean_or_maximum_of_the_last_maps(name, pooling):
    form = models.ARCHITECTURES[name].forms[models.ARCHITECTURES[name].default]
    options = {} if name == "lenet5" else {"width": 1 / 32, "size": form.smallest + 40}
    models_of = [models.create(name, include_top=False, pooling=how, **options) for how in (None, pooling)]
    models_of[1].load_state_dict(models_of[0].state_dict())
    x = pixels(models_of[0], 2)
    with no_grad():
        maps, one = (model(x).numpy() for model in models_of)
    assert maps.ndim == 4
    expected = maps.mean(axis=(2, 3)) if pooling == "avg" else maps.max(axis=(2, 3))
    np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)
    assert models_of[1].config["pooling"] == pooling
    assert models.create(**models_of[1].config).pooling == pooling


def test_wrong_poolings():
    with pytest.raises(OptionError, match=r"pooling is for include_top=False, got 'avg' with include_top=True"):
        models.create("resnet20", pooling="avg")
    with pytest.raises(OptionError, match="pooling must be one of 'avg', 'max', got 'mean'"):
        models.create("resnet20", include_top=False, pooling="mean")


@pytest.mark.parametrize("form", ["paper", "modern", "caffe"])
def test_lenet5_without_its_top_ends_with_its_last_maps(form):
    base = models.create("lenet5", form=form, include_top=False)
    assert list(dict(base.named_children()))[-1] == ("S4" if form == "caffe" else "C5")
    assert base(pixels(base, 1)).ndim == 4


# ----------------------------------------------------------------------------------------- frozen


@pytest.mark.parametrize("name", models.list())
def test_frozen_means_frozen(name):
    """Parameters, running statistics, dropout and what the optimiser keeps: to the last bit, in every network."""
    base = small(name)
    model = transfer.with_head(base, transfer.default_head(base, 3, dropout=0.0))
    stages = [stage for stage, _ in model.named_children()]
    until = stages[len(stages) // 2]
    optimizer = train.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    x, labels = pixels(base), np.array([0, 1, 2, 0])
    steps(model, x, labels, optimizer)  # so that there is momentum, and gradients lie about
    assert transfer.freeze(model, until=until) == stages[: stages.index(until) + 1]
    before, learnt = transfer.frozen_hashes(model), transfer.freezing.digest(model)
    slots = optimizer.state_dict()
    steps(model, x, labels, optimizer)
    model.eval().train()
    steps(model, x, labels, optimizer)
    assert transfer.frozen_hashes(model) == before
    assert transfer.freezing.digest(model) != learnt
    place = {id(p): number for number, p in enumerate(optimizer.params)}
    for stage in stages[: stages.index(until) + 1]:
        assert not any(module.training for module in model[stage].modules())
        for p in model[stage].parameters():
            assert p.grad is None
            slot = f"{place[id(p)]}.momentum"
            np.testing.assert_array_equal(optimizer.state_dict()[slot], slots[slot])
    transfer.unfreeze(model)
    steps(model, x, labels, optimizer)
    after = {stage: transfer.freezing.digest(model[stage]) for stage in before}
    changed = [stage for stage in before if after[stage] != before[stage]]
    assert changed == [stage for stage in before if list(model[stage].parameters())]


def test_dropout_and_statistics_of_a_frozen_stage_rest():
    net = nn.Sequential({"a": nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)), "b": nn.Conv2d(3, 2, 1)}).train()
    transfer.freeze(net, "a")
    x = np.abs(RNG.normal(5, 1, (4, 3, 2, 2))).astype(np.float32)
    seen = net["a"](x).numpy()
    assert (seen != 0).all()
    np.testing.assert_array_equal(net["a"][0].running_mean.array, 0)
    with net.inference():
        pass
    assert not net["a"][1].training
    assert net["b"].training
    transfer.unfreeze(net, "a")
    assert net["a"][1].training


def test_nothing_is_computed_for_what_is_frozen():
    base = small("resnet20")
    transfer.freeze(base)
    assert not base(pixels(base)).requires_grad
    assert transfer.trainable(base) == []


def test_stages_parts_and_patterns():
    base = small("mobilenet")
    assert transfer.freeze(base, "separable1") == ["separable1"]
    assert transfer.freeze(base, "separable1?") == ["separable1", *(f"separable1{n}" for n in range(4))]
    transfer.unfreeze(base)
    assert transfer.frozen(base) == []
    assert transfer.freeze(base, "separable2.depthwise") == ["separable2.depthwise"]
    assert transfer.freeze(base, "*.norm")[0] == "conv1.norm"
    transfer.freeze(base)
    assert transfer.unfreeze(base, since="separable13") == ["conv1", *(f"separable{n}" for n in range(1, 13))]


def test_names_that_fit_nothing():
    base = small("resnet20")
    with pytest.raises(OptionError, match=r"no part of the network is called 'stage4'; did you mean 'stage[123]'"):
        transfer.freeze(base, "stage4")
    with pytest.raises(OptionError, match=r"until must be a stage of the network \(conv1, .*\), got 'conv4_x'"):
        transfer.freeze(base, until="conv4_x")
    assert transfer.frozen(base) == []


# ----------------------------------------------------------------------------------------- heads


def test_a_head_of_any_layers():
    head = nn.Sequential({"conv": nn.Conv2d(2, 5, 1), "mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten()})
    maps = models.create("resnet20", width=1 / 32, include_top=False)
    assert transfer.with_head(maps, head)(pixels(maps)).shape == (4, 5)
    assert list(dict(maps.named_children()))[-1] != "head"


def test_the_default_head_takes_maps_and_vectors():
    for pooling in (None, "avg"):
        base = models.create("resnet20", width=1 / 8, include_top=False, pooling=pooling)
        model = transfer.with_head(base, transfer.default_head(base, 4)).eval()
        assert model(pixels(base)).shape == (4, 4)


def test_a_head_makes_of_any_form_one_with_logits():
    base = models.create("lenet5", form="paper", include_top=False, pooling="avg")
    model = transfer.with_head(base, nn.Linear(120, 3))
    outputs = model(pixels(base))
    assert model.form.predict(outputs).tolist() == outputs.numpy().argmax(axis=1).tolist()
    np.testing.assert_allclose(model.form.probabilities(outputs).sum(axis=1), 1, rtol=1e-5)


def test_wrong_bases():
    with pytest.raises(OptionError, match=r"base has its own last layers: create\(..., include_top=False\)"):
        transfer.with_head(models.create("resnet20"), nn.Linear(10, 2))
    with pytest.raises(OptionError, match="base must be a network of stages"):
        transfer.with_head(nn.Linear(3, 2), nn.Linear(2, 2))
    with pytest.raises(OptionError, match="knows the size of its images"):
        transfer.default_head(nn.Sequential(nn.Linear(3, 2)), 2)


def test_a_common_scale():
    scale = transfer.Standardize(3)
    rows = RNG.normal([1, -50, 7], [0.1, 20, 0], (400, 3)).astype(np.float32)
    scale.measure(rows.reshape(20, 20, 3))
    made = scale(rows).numpy()
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(made.std(axis=0), [1, 1, 0], atol=1e-4)
    with pytest.raises(ShapeError, match=r"features must have shape \(..., 3\), got \(5, 2\)"):
        scale.measure(np.zeros((5, 2)))


# ----------------------------------------------------------------------------------------- features


@pytest.fixture
def base():
    random.manual_seed(0)
    made = models.create("resnet20", width=1 / 4, include_top=False, pooling="avg")
    transfer.freeze(made)
    return made


def photos(count=7, side=40):
    return ArrayDataset(RNG.integers(0, 256, (count, 3, side, side), np.uint8), np.arange(count) % 2)


def test_features_are_what_the_network_makes(base):
    images = photos()
    augment = augmentation.RandomResizedCrop(32)
    views = Views(base.form.preprocess, 2, augment, 2)
    made = features(base, images, views, seed=4, batch_size=3, workers=0)
    assert made.shape == (7, 4, 16)
    with no_grad():
        np.testing.assert_allclose(made[:, 0], base.eval()(base.form.preprocess(images.images)).numpy(), atol=1e-5)
        cut = np.stack([base.form.preprocess.cut(image) for image in images.images])[..., ::-1]
        mirrored = base(base.form.preprocess.normalise(np.ascontiguousarray(cut))).numpy()
    np.testing.assert_allclose(made[:, 1], mirrored, atol=1e-5)
    assert (made[:, 2] != made[:, 3]).any()
    for options in ({"workers": 3}, {"batch_size": 7}):
        again = features(base, images, views, seed=4, **options)
        np.testing.assert_allclose(again, made, atol=1e-5)


def test_ten_views_are_ten_crops(base):
    image = photos(1).images[0]
    made = Views(base.form.preprocess, 10)(image, None)
    assert made.shape == (10, 3, 32, 32)
    larger = np.asarray(Image.fromarray(image.transpose(1, 2, 0)).resize((37, 37), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(made[3], larger.transpose(2, 0, 1)[:, 5:, 5:])
    np.testing.assert_array_equal(made[8], made[3][..., ::-1])
    with pytest.raises(OptionError, match="tested must be one of 1, 2, 10, got 5"):
        Views(base.form.preprocess, 5)


def test_features_are_kept_and_found_again(base, tmp_path, monkeypatch):
    images, views = photos(), Views(base.form.preprocess)
    made = features(base, images, views, folder=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    monkeypatch.setattr(base, "forward", None, raising=False)  # whoever computes now, fails
    done = []
    np.testing.assert_array_equal(features(base, images, views, folder=tmp_path, tell=done.append), made)
    assert done == [7]
    monkeypatch.undo()
    for damage in (b"", file.read_bytes()[:100], b"\0" * 300):
        file.write_bytes(damage)
        np.testing.assert_array_equal(features(base, images, views, folder=tmp_path), made)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_key_depends_on_all_that_features_depend_on(base):
    images, see = photos(), base.form.preprocess
    other = ArrayDataset(images.images.copy(), images.labels)
    other.images[0, 0, 0, 0] ^= 1
    augment = augmentation.RandomResizedCrop(32)

    def name(of=base, data=images, views=None, seed=0, batch_size=16):
        return key(dependences(of, views or Views(see), seed, batch_size), data, 0)

    names = [
        name(), name(data=other), name(data=images.only([1, 0, 2, 3, 4, 5, 6])), name(seed=1), name(batch_size=8),
        name(views=Views(see, 2)), name(views=Views(see, augment=augment, count=1)),
        name(views=Views(see, augment=augment, count=2)),
        name(views=Views(see, augment=augmentation.RandomResizedCrop(32, (0.5, 1.0)), count=1)),
    ]  # fmt: skip
    with base.conv1.conv.weight.changing() as array:
        array[0] += 1e-3
    names.append(name())
    with next(buffer for path, buffer in base.named_buffers() if "mean" in path).changing() as array:
        array[0] += 1e-3
    names.append(name())
    assert len(set(names)) == len(names)
    assert name() == names[-1]


def test_views_that_do_not_say_what_they_do_are_not_kept(base, tmp_path):
    def views(image, rng):
        return image[None, :, :32, :32]

    assert features(base, photos(), views).shape == (7, 1, 16)
    with pytest.raises(OptionError, match="views must say in its repr what it does, got <function"):
        features(base, photos(), views, folder=tmp_path)


def test_what_no_features_are_made_of(base):
    views = Views(base.form.preprocess)
    with pytest.raises(OptionError, match="features: there must be at least one image, got none"):
        features(base, photos().only([]), views)
    with pytest.raises(OptionError, match=r"features: batch_size must be >= 1 .*, got 0"):
        features(base, photos(), views, batch_size=0)
    with pytest.raises(DTypeError, match=r"an image must be uint8 in 0 .. 255, got float64"):
        features(base, ArrayDataset(np.zeros((2, 3, 40, 40)), [0, 1]), views)
    with pytest.raises(ShapeError, match=r"an image must have shape \(H, W\) or \(1 or 3, H, W\), got \(2, 40, 40\)"):
        features(base, ArrayDataset(np.zeros((2, 2, 40, 40), np.uint8), [0, 1]), views)
    with pytest.raises(ShapeError, match=r"logits must have shape \(N, views, classes\), got \(2,\)"):
        transfer.probabilities(np.zeros(2))
    for options in ({"lr": -1.0}, {"lr": 0.1, "decay": 0.0}):
        with pytest.raises(OptionError, match=r"rates: (lr|decay) must be > 0 and finite, got (-1|0).0"):
            transfer.rates(base, **options)


def test_only_some_files_of_features_are_kept(base, tmp_path):
    images = photos(1)
    for seed in range(KEPT + 3):
        features(base, images, Views(base.form.preprocess), seed=seed, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_features_that_were_interrupted_go_on(base, tmp_path, monkeypatch):
    module = importlib.import_module("minicnn.transfer.features")  # the package's own word for it is the function
    monkeypatch.setattr(module, "PART", 3)
    monkeypatch.setattr(module, "READ", 2)
    images, views = photos(), Views(base.form.preprocess, 1, augmentation.RandomResizedCrop(32), 2)

    class StopError(Exception):
        pass

    def stop(done):
        if done > 5:
            raise StopError

    with pytest.raises(StopError):
        features(base, images, views, folder=tmp_path, tell=stop)
    assert len(list(tmp_path.iterdir())) == 1
    done = []
    made = features(base, images, views, folder=tmp_path, tell=done.append)
    assert done == [3, 5, 6, 7]
    np.testing.assert_array_equal(made, features(base, images, views))
    twice = ArrayDataset(np.repeat(images.images[:1], 6, axis=0), [0] * 6)
    drawn = features(base, twice, views)[:, 1:].reshape(12, -1)
    assert len(np.unique(drawn, axis=0)) == 12  # no random number comes twice


def test_one_view_is_drawn_evenly():
    views = np.arange(4)[:, None]
    drawn = [int(one_view(views, np.random.default_rng(seed))[0]) for seed in range(800)]
    assert min(np.bincount(drawn)) > 150


# ----------------------------------------------------------------------------------------- learning


def test_early_stages_learn_slowly(base):
    model = transfer.with_head(base, transfer.default_head(base, 2))
    transfer.unfreeze(model, since="stage2")
    groups = transfer.rates(model, 0.01, 0.5)
    assert [group["lr"] for group in groups] == [0.0025, 0.005, 0.01]
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in transfer.trainable(model)}


def test_probabilities_are_the_mean_over_views():
    logits = np.array([[[0.0, 0.0], [100.0, 0.0]]])
    np.testing.assert_allclose(learning.probabilities(logits), [[0.75, 0.25]])


@pytest.mark.parametrize(("shape", "channels"), [((50, 40), 3), ((1, 50, 40), 3), ((3, 50, 40), 1), ((3, 50, 40), 3)])
def test_parts_have_the_colours_that_the_network_sees(shape, channels):
    see = models.create("resnet20", in_channels=channels).form.preprocess
    image = RNG.integers(0, 256, shape, np.uint8)
    assert learning.PartsOf(see)(image, np.random.default_rng(0)).shape == (channels, 32, 32)
    assert Views(see, 2, learning.PartsOf(see), 3)(image, np.random.default_rng(0)).shape == (5, channels, 32, 32)


def test_mixed_labels_train_and_count(base):
    images = photos(12)
    head = transfer.default_head(base, 2)
    head["scale"].measure(features(base, images, Views(base.form.preprocess)))
    model = transfer.with_head(base, head)
    loader = Loader(
        images, 4, shuffle=True, workers=2, mix=augmentation.CutMix(2),
        transform=learning.PartsOf(base.form.preprocess),
    )  # fmt: skip
    history = train.fit(
        model, loader, optimizer=train.Adam(transfer.trainable(model)), epochs=2, progress=False,
        preprocess=base.form.preprocess.normalise,
    )  # fmt: skip
    assert np.isfinite([row.train_loss for row in history]).all()
    assert 0 <= history[-1].train_accuracy <= 1
