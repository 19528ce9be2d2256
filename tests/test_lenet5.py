"""LeNet-5 against its paper: counts, tables, sizes, losses, first weights, gradients."""

import itertools

import numpy as np
import pytest

import minicnn
from minicnn import models, nn
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError
from minicnn.inspect import summary
from minicnn.models import lenet5
from minicnn.testing import gradcheck

# Section II.B, as printed: trainable parameters and connections of each stage.
PRINTED = {
    "C1": (156, 122_304),
    "S2": (12, 5_880),
    "C3": (1_516, 151_600),
    "S4": (32, 2_000),
    "C5": (48_120, 48_120),
    "F6": (10_164, 10_164),
    "output": (0, 840),
}
DIGIT = np.zeros((1, 1, 32, 32), np.float32)
every_form = pytest.mark.parametrize("form", ["paper", "modern"])


def parameters(model) -> dict[str, int]:
    return {name: sum(p.size for p in stage.parameters()) for name, stage in model.named_children()}


def test_the_paper_form_has_the_paper_s_parameters_and_connections():
    model = models.create("lenet5", form="paper")
    counts, links = parameters(model), lenet5.connections(model)
    assert {stage: (counts[stage], links[stage]) for stage in counts} == PRINTED
    assert sum(counts.values()) == 60_000
    assert sum(links.values()) == 340_908
    assert {name: b.size for name, b in model.named_buffers()} == {"output.codes": 840}


def test_the_modern_form_has_61706_parameters():
    counts = parameters(models.create("lenet5"))
    assert counts == {"C1": 156, "S2": 0, "C3": 2_416, "S4": 0, "C5": 48_120, "F6": 10_164, "output": 850}
    assert sum(counts.values()) == 61_706


def test_multiply_adds():
    def work(form):
        return {
            row.path: row.multiply_adds
            for row in summary(models.create("lenet5", form=form), DIGIT)
            if row.path in PRINTED
        }

    modern = {"C1": 117_600, "S2": 0, "C3": 240_000, "S4": 0, "C5": 48_000, "F6": 10_080, "output": 840}
    assert work("modern") == modern
    assert work("paper") == {**modern, "S2": 6 * 14 * 14, "C3": 150_000, "S4": 16 * 5 * 5}


def test_caffe_s_form_has_431080_parameters():
    model = models.create("lenet5", form="caffe")
    assert parameters(model) == {"C1": 520, "S2": 0, "C3": 25_050, "S4": 0, "F5": 400_500, "output": 5_010}
    assert sum(parameters(model).values()) == 431_080
    digit = np.full((1, 28, 28), 255, np.uint8)
    images = model.form.preprocess(digit)
    assert images.shape == (1, 1, 28, 28)
    assert images[0, 0, 0, 0] == np.float32(255 / 256)
    rows = summary(model, images)
    assert [rows[row.stage].output[1:] for row in lenet5.CAFFE_TABLE] == [
        (20, 24, 24), (20, 12, 12), (50, 8, 8), (50, 4, 4), (500,), (10,),
    ]  # fmt: skip
    assert models.create("lenet5", form="caffe", in_channels=3).form.preprocess(digit).shape == (1, 3, 28, 28)


@every_form
def test_every_stage_gives_the_size_of_the_table(form):
    model, sizes = models.create("lenet5", form=form), {}
    for name, stage in model.named_children():
        stage.register_forward_hook(lambda module, inputs, out, name=name: sizes.update({name: out.shape}))
    model(np.zeros((2, 1, 32, 32), np.float32))
    assert sizes == {
        row.stage: (2, row.maps) if row.kind in ("full", "output") else (2, row.maps, row.size, row.size)
        for row in lenet5.TABLE
    }


def test_table_one():
    table = lenet5.C3_READS_S2
    assert table.shape == (16, 6)
    assert table.sum(axis=1).tolist() == [3] * 6 + [4] * 9 + [6]
    assert table.sum(axis=0).tolist() == [10] * 6  # each map of S2 feeds ten maps of C3
    assert len({tuple(row) for row in table.tolist()}) == 16
    read = [np.nonzero(row)[0].tolist() for row in table]
    # "the first six take inputs from every contiguous subset of three, the next six of four, the next three from
    # some discontinuous subsets of four, the last one takes all"
    circle = [sorted((i + j) % 6 for j in range(n)) for n in (3, 4) for i in range(6)]
    assert read[:12] == circle
    assert read[12:] == [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]


def test_squash_maps_one_to_one():
    x = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_allclose(nn.ScaledTanh()(x).numpy(), x, atol=3e-6)


def test_codes():
    codes = lenet5.CODES
    assert codes.shape == (10, 7 * 12)
    assert codes.dtype == np.float32
    assert set(np.unique(codes)) == {-1.0, 1.0}
    apart = {(a, b): int((codes[a] != codes[b]).sum()) for a, b in itertools.combinations(range(10), 2)}
    assert min(apart.values()) == 12
    assert [pair for pair, bits in apart.items() if bits == 12] == [(6, 8)]
    # Row 0 of a code is the top row of its picture.
    assert "".join(".#"[int(v > 0)] for v in codes[7].reshape(12, 7)[0]) == "#######"
    assert "".join(".#"[int(v > 0)] for v in codes[7].reshape(12, 7)[9]) == "..##..."


def test_the_perfect_answer_has_distance_zero():
    model = models.create("lenet5", form="paper")
    y = model.output(lenet5.CODES)
    np.testing.assert_array_equal(np.diag(y.numpy()), 0)
    np.testing.assert_array_equal(model.form.predict(y), np.arange(10))
    assert y.numpy()[6, 8] == 48


# ----------------------------------------------------------------------------------------- input


def test_preprocess_centres_and_scales():
    digit = np.zeros((1, 28, 28), np.uint8)
    digit[0, 0, 0] = 255
    x = lenet5.preprocess(digit)
    assert x.shape == (1, 1, 32, 32)
    assert x[0, 0, 2, 2] == pytest.approx(1.175)
    assert (np.delete(x.ravel(), 2 * 32 + 2) == np.float32(-0.1)).all()
    np.testing.assert_array_equal(lenet5.preprocess(np.pad(digit, ((0, 0), (2, 2), (2, 2)))), x)
    np.testing.assert_array_equal(lenet5.preprocess(digit[:, None]), x)
    assert lenet5.preprocess(np.zeros((2, 3, 32, 32), np.uint8)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (np.zeros((1, 28, 28), np.float32), DTypeError, "uint8 in 0 .. 255, got float32"),
        (np.zeros((28, 28), np.uint8), ShapeError, r"got \(28, 28\)"),
        (np.zeros((1, 8, 8), np.uint8), ShapeError, r"got \(1, 8, 8\)"),
        (np.zeros((1, 28, 28, 1), np.uint8), ShapeError, r"got \(1, 28, 28, 1\)"),
    ],
)
def test_preprocess_refuses(images, error, text):
    with pytest.raises(error, match=text):
        lenet5.preprocess(images)


# ----------------------------------------------------------------------------------------- losses

DISTANCES = np.random.default_rng(0).uniform(0, 300, (6, 10))
DISTANCES[0, :2] = 0.1, 0.3  # two near codes, so that the classes compete
TARGETS = np.array([1, 0, 9, 3, 3, 5])


def test_equation_8_is_the_mean_distance_to_the_right_code():
    assert lenet5.mse(DISTANCES, TARGETS).item() == pytest.approx(DISTANCES[np.arange(6), TARGETS].mean())


def test_equation_9_as_printed():
    y, right = DISTANCES, DISTANCES[np.arange(6), TARGETS]
    expected = np.mean(right + np.log(np.exp(-lenet5.J) + np.exp(-y).sum(axis=1)))
    assert lenet5.map_criterion(y, TARGETS).item() == pytest.approx(expected, rel=1e-12)
    assert lenet5.map_criterion(y * 1e4, TARGETS).item() == pytest.approx(np.mean(right * 1e4) - lenet5.J)
    assert lenet5.map_criterion(np.zeros((1, 10)), TARGETS[:1]).item() > 0  # "this loss function is positive"


@pytest.mark.parametrize("criterion", ["map", "mse"])
def test_losses_check_labels(criterion):
    loss = models.create("lenet5", form="paper", criterion=criterion).form.loss
    with pytest.raises(LabelError, match="got 10"):
        loss(DISTANCES, np.array([0, 1, 2, 3, 4, 10]))
    with pytest.raises(LabelError, match="got -1"):
        loss(DISTANCES, np.array([0, 1, 2, 3, 4, -1]))
    with pytest.raises(ShapeError, match="target must have shape"):
        loss(DISTANCES, TARGETS[:3])
    with pytest.raises(DTypeError, match="integers"):
        loss(DISTANCES, TARGETS.astype(float))
    with pytest.raises(ShapeError, match="outputs must have 2 axes"):
        loss(DISTANCES[0], TARGETS)


def test_probabilities_favour_the_nearest_code():
    form = models.create("lenet5", form="paper").form
    expected = np.exp(-DISTANCES) / np.exp(-DISTANCES).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(form.probabilities(DISTANCES), expected, rtol=1e-10)
    np.testing.assert_array_equal(form.predict(DISTANCES), DISTANCES.argmin(axis=1))


# ----------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"form": "paper", "num_classes": 11}, "num_classes must be 10 in form='paper', got 11"),
        ({"form": "paper", "in_channels": 3}, "in_channels must be 1 in form='paper', got 3"),
        ({"form": "paper", "criterion": "mpa"}, "criterion must be one of 'map', 'mse' .*did you mean 'map'"),
        ({"criterion": "map"}, "criterion must be one of 'cross_entropy' in form='modern', got 'map'"),
        ({"first_weights": "appendix_a"}, "first_weights must be one of 'he_2015' in form='modern', got 'appendix_a'"),
        ({"num_classes": 0}, "num_classes must be >= 1"),
        ({"in_channels": 1.5}, "in_channels must be an integer, got 1.5"),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises(OptionError, match=text):
        models.create("lenet5", **options)


def test_options_of_the_modern_form():
    model = models.create("lenet5", in_channels=3, num_classes=26)
    assert model(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 26)
    assert models.create(**model.config).config == model.config
    assert models.create("lenet5", form="paper", criterion="mse").form.loss is lenet5.mse


def test_the_recipe_of_1998():
    recipe = models.create("lenet5", form="paper").form.recipe()
    assert recipe["epochs"] == sum(passes for passes, _ in recipe["schedule"]["rows"]) == 20
    rates = [(passes, recipe["optimizer"]["lr"] * factor) for passes, factor in recipe["schedule"]["rows"]]
    printed = [(2, 0.0005), (3, 0.0002), (3, 0.0001), (4, 0.00005), (8, 0.00001)]
    np.testing.assert_allclose(rates, printed, rtol=1e-12)
    assert recipe["optimizer"]["mu"] == 0.5  # printed is 0.02: see the docstring of lenet5.py
    assert recipe["optimizer"]["samples"] == 500


# ----------------------------------------------------------------------------------------- first weights


def test_first_weights_of_1998_lie_within_the_fan_in_of_their_unit():
    minicnn.manual_seed(0)
    state = models.create("lenet5", form="paper").state_dict()
    fan_ins = {"C1.conv": 25, "S2.pool": 4, "S4.pool": 4, "C5.conv": 400, "F6.linear": 120}
    for layer, fan_in in fan_ins.items():
        for name in ("weight", "bias"):
            reach = np.abs(state[f"{layer}.{name}"]) * fan_in / 2.4
            assert reach.max() <= 1 + 1e-6, (layer, name)
            assert reach.max() > 0.5, (layer, name)
    unit, maps_read = np.nonzero(lenet5.C3_READS_S2)[0], lenet5.C3_READS_S2.sum(axis=1)
    for m in range(16):
        reach = np.abs(state["C3.conv.weight"][unit == m]) * maps_read[m] * 25 / 2.4
        assert 0.9 < reach.max() <= 1 + 1e-6, m
    np.testing.assert_array_equal(state["output.codes"], lenet5.CODES)


def test_the_first_weights_of_the_recipe():
    minicnn.manual_seed(0)
    state = models.create("lenet5", form="paper", first_weights="efficient_backprop").state_dict()
    assert 0.99 < np.abs(state["C5.conv.weight"]).max() * 20 / np.sqrt(3) <= 1 + 1e-6
    assert 0.99 < np.abs(state["F6.linear.weight"]).max() * np.sqrt(120 / 3) <= 1 + 1e-6


# ----------------------------------------------------------------------------------------- the whole network


@every_form
@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_gradient_of_the_whole_network(form, kernels):
    minicnn.manual_seed(5)
    model = models.create("lenet5", form=form).astype(np.float64)
    rng = np.random.default_rng(2)
    labels = np.array([3, 8] if kernels == "fast" else [3])  # plain loops take seconds an image
    inputs = {"input": rng.uniform(-0.1, 1.175, (len(labels), 1, 32, 32)), **model.state_dict()}
    inputs.pop("output.codes", None)  # fixed: no gradient is defined for them

    def loss(input, **weights):
        for name, tensor in weights.items():
            path, _, leaf = name.rpartition(".")
            setattr(dict(model.named_modules())[path], leaf, tensor)
        return model.form.loss(model(input), labels)

    with minicnn.using_kernels(kernels):
        # ReLU and the maximum have kinks, which a short step seldom meets; the squashing function has none.
        gradcheck(loss, inputs, step=1e-7 if form == "modern" else 1e-5)


def in_the_field(pixels: np.ndarray) -> np.ndarray:
    """Glyphs (N, 84) of ±1 as digits of 28x28, each pixel twice as large."""
    large = np.kron(pixels.reshape(-1, 12, 7) > 0, np.ones((2, 2), np.uint8)) * np.uint8(255)
    return np.pad(large, ((0, 0), (2, 2), (7, 7)))


@pytest.mark.parametrize(
    ("form", "criterion", "rate"), [("paper", "map", 0.003), ("paper", "mse", 0.003), ("modern", None, 0.05)]
)
def test_it_learns_the_ten_glyphs(form, criterion, rate):
    minicnn.manual_seed(0)
    model = models.create("lenet5", form=form, criterion=criterion)
    x, labels = model.form.preprocess(in_the_field(lenet5.CODES)), np.arange(10)
    for _ in range(150):
        loss = model.form.loss(model(x), labels)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            with p.changing() as weights:
                weights -= np.float32(rate) * p.grad.numpy()
    np.testing.assert_array_equal(model.form.predict(model(x)), labels)


@every_form
def test_errors_name_the_stage(form):
    model = models.create("lenet5", form=form)
    with pytest.raises(ShapeError, match=r"^in lenet5\.C1\.conv: conv2d: C_in must equal"):
        model(np.zeros((1, 2, 32, 32), np.float32))
    with pytest.raises(ShapeError, match=r"^in lenet5\.C5\.conv: conv2d: the window must fit"):
        model(np.zeros((1, 1, 28, 28), np.float32))
    with pytest.raises(DTypeError, match=r"^in lenet5\.C1\.conv: conv2d: all arrays must have one dtype"):
        model(np.zeros((1, 1, 32, 32)))
    trained_on = nn.Sequential({"trunk": model[:5], "head": nn.Linear(120, 3)})
    with pytest.raises(ShapeError, match=r"^in Sequential\.head: linear: "):
        trained_on(np.zeros((1, 1, 32, 32), np.float32))
