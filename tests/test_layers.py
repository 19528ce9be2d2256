"""Every layer is its op with the layer's weights and options; and starts as init.py says."""

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn import nn
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.nn import init

IMAGES = np.random.default_rng(0).standard_normal((2, 4, 8, 6)).astype(np.float32)
VECTORS = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)
LABELS = np.array([5, 0, 2])
TABLE = np.array([[True, False, True, False], [False, True, True, True]])
CODES = np.sign(np.random.default_rng(2).standard_normal((5, 6))).astype(np.float32)
WEIGHTS = np.float32([1, 2, 1, 1, 3, 1])

# layer, its inputs, and the same by the op: every option differs from its default somewhere.
LAYERS = [
    (nn.Conv2d(4, 3, 3), [IMAGES], lambda m, x: F.conv2d(x, m.weight, m.bias)),
    (
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=((1, 0), (0, 2)), dilation=2, groups=2, bias=False),
        [IMAGES],
        lambda m, x: F.conv2d(x, m.weight, stride=(2, 1), padding=((1, 0), (0, 2)), dilation=2, groups=2),
    ),
    (nn.Conv2d(4, 2, 3, table=TABLE), [IMAGES], lambda m, x: F.conv2d(x, m.weight, m.bias, table=TABLE)),
    (
        nn.DepthwiseConv2d(4, 3, stride=2, padding="same", dilation=1),
        [IMAGES],
        lambda m, x: F.depthwise_conv2d(x, m.weight, m.bias, stride=2, padding="same"),
    ),
    (
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, dilation=2),
        [IMAGES],
        lambda m, x: F.conv_transpose2d(
            x, m.weight, m.bias, stride=2, padding=1, output_padding=1, groups=2, dilation=2
        ),
    ),
    (nn.Linear(6, 5), [VECTORS], lambda m, x: F.linear(x, m.weight, m.bias)),
    (nn.Linear(6, 5, bias=False), [VECTORS], lambda m, x: F.linear(x, m.weight)),
    (nn.RBF(CODES), [VECTORS], lambda m, x: F.rbf(x, CODES)),
    (nn.MaxPool2d(2), [IMAGES], lambda m, x: F.max_pool2d(x, 2)),
    (
        nn.MaxPool2d(3, stride=2, padding=1, dilation=2, ceil_mode=True),
        [IMAGES],
        lambda m, x: F.max_pool2d(x, 3, stride=2, padding=1, dilation=2, ceil_mode=True),
    ),
    (
        nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        [IMAGES],
        lambda m, x: F.avg_pool2d(x, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
    ),
    (nn.AdaptiveAvgPool2d((3, 2)), [IMAGES], lambda m, x: F.adaptive_avg_pool2d(x, (3, 2))),
    (nn.GlobalMaxPool2d(), [IMAGES], lambda m, x: F.max_pool2d(x, x.shape[2:])),
    (nn.Subsample2d(4), [IMAGES], lambda m, x: F.avg_pool2d(x, 2)),  # as it starts
    (
        nn.Conv2d(4, 4, 3, padding=1, activation="relu6"),
        [IMAGES * 5, IMAGES],
        lambda m, x, r: F.relu6(F.conv2d(x, m.weight, m.bias, padding=1) + r),
    ),
    (
        nn.BatchNorm2d(4, eps=1e-3),
        [IMAGES],
        lambda m, x: F.batch_norm2d(x, weight=m.weight, bias=m.bias, training=True, eps=1e-3),
    ),
    (
        nn.BatchNorm2d(4, activation="relu6"),
        [IMAGES * 5, IMAGES],
        lambda m, x, r: F.relu6(F.batch_norm2d(x, weight=m.weight, bias=m.bias, training=True) + r),
    ),
    (
        nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=2.0, form="sum"),
        [IMAGES],
        lambda m, x: F.local_response_norm(x, 3, alpha=0.1, beta=0.5, k=2.0, form="sum"),
    ),
    (nn.Pad(1, 0, 2, 3), [IMAGES], lambda m, x: F.pad(x, (1, 0, 2, 3))),
    (
        nn.Branches({"small": nn.Conv2d(4, 2, 1), "large": nn.Conv2d(4, 3, 3, padding=1)}),
        [IMAGES],
        lambda m, x: F.concat([m["small"](x), m["large"](x)], 1),
    ),
    (
        nn.ConvNorm(4, 4, 3, padding=1, activation="relu6"),
        [IMAGES * 5, IMAGES],
        lambda m, x, r: F.relu6(F.conv2d(x, m.conv.weight, m.conv.bias, padding=1) + r),
    ),
    (
        nn.ConvNorm(4, 4, 3, stride=2, groups=4, norm={"eps": 1e-3, "scale": False}),
        [IMAGES],
        lambda m, x: F.relu(
            F.batch_norm2d(F.depthwise_conv2d(x, m.conv.weight, stride=2), bias=m.norm.bias, training=True, eps=1e-3)
        ),
    ),
    (nn.ReLU(), [IMAGES], lambda m, x: F.relu(x)),
    (nn.ReLU6(), [IMAGES * 5], lambda m, x: F.relu6(x)),
    (nn.Tanh(), [IMAGES], lambda m, x: F.tanh(x)),
    (nn.ScaledTanh(), [IMAGES], lambda m, x: F.scaled_tanh(x)),
    (nn.Sigmoid(), [IMAGES], lambda m, x: F.sigmoid(x)),
    (nn.Softmax(1), [IMAGES], lambda m, x: F.softmax(x, 1)),
    (nn.LogSoftmax(1), [IMAGES], lambda m, x: F.log_softmax(x, 1)),
    (nn.Flatten(), [IMAGES], lambda m, x: F.flatten(x, 1)),
    (nn.Flatten(2, 3), [IMAGES], lambda m, x: F.flatten(x, 2, 3)),
    (nn.Identity(), [minicnn.Tensor(IMAGES)], lambda m, x: x),
    (nn.Dropout(0.3).eval(), [IMAGES], lambda m, x: minicnn.Tensor(x)),
    (nn.Dropout2d(0.3).eval(), [IMAGES], lambda m, x: minicnn.Tensor(x)),
    (
        nn.CrossEntropyLoss(WEIGHTS, ignore_index=2, reduction="sum", label_smoothing=0.1),
        [VECTORS, LABELS],
        lambda m, x, y: F.cross_entropy(x, y, WEIGHTS, ignore_index=2, reduction="sum", label_smoothing=0.1),
    ),
    (nn.MSELoss(reduction="sum"), [VECTORS, VECTORS * 2], lambda m, x, y: F.mse_loss(x, y, reduction="sum")),
]


@pytest.mark.parametrize(("layer", "inputs", "op"), LAYERS, ids=[type(row[0]).__name__ for row in LAYERS])
def test_a_layer_is_its_op(layer, inputs, op):
    out, expected = layer(*inputs), op(layer, *inputs)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.numpy(), expected.numpy(), rtol=1e-6, atol=1e-6)


def test_every_layer_is_in_the_list():
    classes = {v for v in vars(nn).values() if isinstance(v, type) and issubclass(v, nn.Module)}
    assert classes - {type(row[0]) for row in LAYERS} == {nn.Module, nn.Sequential}


# ----------------------------------------------------------------------------------------- training and inference


def test_batch_norm_keeps_running_statistics_for_inference():
    layer = nn.BatchNorm2d(4, momentum=0.25, unbiased=False)
    layer(IMAGES)
    mean, var = IMAGES.mean(axis=(0, 2, 3)), IMAGES.var(axis=(0, 2, 3))
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.75 + 0.25 * var, rtol=1e-5)
    layer.eval()
    running = layer.state_dict()
    expected = (IMAGES - running["running_mean"].reshape(4, 1, 1)) / np.sqrt(
        running["running_var"].reshape(4, 1, 1) + 1e-5
    )
    np.testing.assert_allclose(layer(IMAGES).numpy(), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.running_mean.numpy(), running["running_mean"])


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.Dropout2d(0.5)], ids=["Dropout", "Dropout2d"])
def test_dropout_follows_the_seed(layer):
    ones = np.ones((64, 8, 4, 4), np.float32)

    def draw(seed):
        minicnn.manual_seed(seed)
        return layer.train()(ones).numpy(), layer(ones).numpy()

    first, second = draw(1)
    again, _ = draw(1)
    other, _ = draw(2)
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first != other).any()
    assert set(np.unique(first)) == {0.0, 2.0}
    channels = first.reshape(64 * 8, 16)
    whole = (channels == channels[:, :1]).all()
    assert whole == isinstance(layer, nn.Dropout2d)


# ----------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: nn.Conv2d(0, 1, 3), OptionError, "Conv2d: in_channels must be >= 1"),
        (lambda: nn.Conv2d(1, 1.0, 3), OptionError, "Conv2d: out_channels must be an integer, got 1.0"),
        (lambda: nn.Conv2d(1, 1, 0), OptionError, "Conv2d: kernel_size must be >= 1"),
        (lambda: nn.Conv2d(1, 1, (1, 2, 3)), OptionError, "Conv2d: kernel_size must be an integer or a pair"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), OptionError, "Conv2d: stride must be >= 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), OptionError, "Conv2d: padding must be >= 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), OptionError, "Conv2d: padding must be one of 'same', 'valid'"),
        (lambda: nn.Conv2d(1, 1, 3, dilation=0), OptionError, "Conv2d: dilation must be >= 1"),
        (
            lambda: nn.Conv2d(1, 1, 3, activation="tanh"),
            OptionError,
            "Conv2d: activation must be one of 'relu', 'relu6'",
        ),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), OptionError, "groups must divide in_channels and out_channels"),
        (lambda: nn.Conv2d(4, 2, 3, table=TABLE.astype(int)), DTypeError, "table must be a bool array"),
        (lambda: nn.Conv2d(2, 4, 3, table=TABLE), ShapeError, r"table must have shape \(C_out, C_in\) = \(4, 2\)"),
        (lambda: nn.Conv2d(4, 2, 3, table=TABLE, groups=2), OptionError, "groups must be 1 with a table"),
        (lambda: nn.Conv2d(4, 2, 3, table=TABLE & [[True], [False]]), OptionError, r"got none in rows \[1\]"),
        (lambda: nn.DepthwiseConv2d(4, 3, stride=-1), OptionError, "DepthwiseConv2d: stride must be >= 1"),
        (lambda: nn.ConvTranspose2d(4, 3, 2, groups=2), OptionError, "ConvTranspose2d: groups must divide"),
        (lambda: nn.ConvTranspose2d(4, 4, 2, output_padding=-1), OptionError, "output_padding must be >= 0"),
        (lambda: nn.Linear(3, True), OptionError, "Linear: out_features must be an integer, got True"),
        (lambda: nn.RBF(np.zeros(3)), ShapeError, r"RBF: codes must have shape \(n_classes, n_features\)"),
        (lambda: nn.MaxPool2d(2, padding=2), OptionError, "MaxPool2d: padding must be at most half a window"),
        (lambda: nn.AvgPool2d(0), OptionError, "AvgPool2d: kernel_size must be >= 1"),
        (lambda: nn.AdaptiveAvgPool2d(0), OptionError, "AdaptiveAvgPool2d: output_size must be >= 1"),
        (lambda: nn.Subsample2d(0), OptionError, "Subsample2d: channels must be >= 1"),
        (lambda: nn.BatchNorm2d(4, eps=-1), OptionError, "BatchNorm2d: eps must be"),
        (lambda: nn.BatchNorm2d(4, momentum=1.5), OptionError, "BatchNorm2d: momentum must be"),
        (lambda: nn.BatchNorm2d(4, activation="tanh"), OptionError, "activation must be one of 'relu', 'relu6'"),
        (lambda: nn.LocalResponseNorm(5, form="max"), OptionError, "form must be one of 'mean', 'sum', got 'max'"),
        (lambda: nn.Dropout(1.5), OptionError, "Dropout: p must be"),
        (lambda: nn.Dropout2d(float("nan")), OptionError, "Dropout2d: p must be"),
        (lambda: nn.CrossEntropyLoss(reduction="men"), OptionError, "CrossEntropyLoss: reduction must be one of"),
        (lambda: nn.MSELoss(reduction=None), OptionError, "MSELoss: reduction must be one of"),
        (lambda: init.he_2015((2, 2), np.random.default_rng(), mode="fan"), OptionError, "he_2015: mode must be"),
        (lambda: init.glorot_2010((2, 2), np.random.default_rng(), distribution="cauchy"), OptionError, "glorot_2010"),
        (lambda: init.trunc_normal((2, 2), np.random.default_rng(), cut=0), OptionError, "trunc_normal: cut must be"),
    ],
)
def test_arguments_are_checked_when_the_layer_is_made(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_a_table_is_copied_and_frozen():
    table = TABLE.copy()
    layer = nn.Conv2d(4, 2, 3, table=table)
    table[:] = False
    np.testing.assert_array_equal(layer.table, TABLE)
    with pytest.raises(ValueError, match="read-only"):
        layer.table[0, 0] = False


# ----------------------------------------------------------------------------------------- first weights

SHAPE = (200, 50, 3, 3)  # fan_in 450, fan_out 1800


@pytest.mark.parametrize(
    ("rule", "variance"),
    [
        (lambda rng: init.lecun_1998(SHAPE, rng), (2.4 / 450) ** 2 / 3),
        (lambda rng: init.lecun_1998(SHAPE, rng, fan_in=4), 0.6**2 / 3),
        (lambda rng: init.glorot_2010(SHAPE, rng), 2 / (450 + 1800)),
        (lambda rng: init.glorot_2010(SHAPE, rng, distribution="normal"), 2 / (450 + 1800)),
        (lambda rng: init.he_2015(SHAPE, rng), 2 / 450),
        (lambda rng: init.he_2015(SHAPE, rng, mode="fan_out"), 2 / 1800),
        (lambda rng: init.he_2015(SHAPE, rng, distribution="uniform"), 2 / 450),
        (lambda rng: init.normal(SHAPE, rng, std=0.3), 0.09),
        (lambda rng: init.trunc_normal(SHAPE, rng, std=0.3), 0.09 * 0.7737413),  # of a normal cut at two deviations
    ],
)
def test_rules_have_mean_zero_and_their_paper_s_variance(rule, variance):
    weights = rule(np.random.default_rng(0))
    assert weights.dtype == np.float32
    assert weights.shape == SHAPE
    # 90,000 numbers: the mean strays by 1/300 of a deviation, the variance by at most 1/200 of itself
    assert abs(weights.mean()) < 4 * np.sqrt(variance / weights.size)
    assert weights.var() == pytest.approx(variance, rel=0.02)


def test_uniform_rules_reach_their_bound_and_no_further():
    rng = np.random.default_rng(0)
    for weights, bound in (
        (init.lecun_1998(SHAPE, rng), 2.4 / 450),
        (init.glorot_2010(SHAPE, rng), np.sqrt(6 / 2250)),
        (init.trunc_normal(SHAPE, rng, mean=1.0, std=0.1, cut=1.5) - 1, 0.15),
    ):
        assert 0.99 * bound < np.abs(weights).max() <= bound * (1 + 1e-5)


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Conv2d(16, 128, 3), 144),
        (lambda: nn.Conv2d(32, 128, 3, groups=2), 144),
        (lambda: nn.DepthwiseConv2d(2048, 3), 9),
        (lambda: nn.ConvTranspose2d(64, 64, 4, stride=2), 64 * 4),
        (lambda: nn.Linear(200, 100), 200),
    ],
)
def test_layers_start_with_he_and_biases_of_zero(layer, fan_in):
    minicnn.manual_seed(0)
    made = layer()
    assert made.weight.numpy().var() == pytest.approx(2 / fan_in, rel=0.05)
    assert not made.bias.numpy().any()


def test_a_connection_table_counts_in_the_fan_in():
    minicnn.manual_seed(0)
    table = np.zeros((2, 600), bool)
    table[0], table[1, :100] = True, True
    weights = nn.Conv2d(600, 2, 3, table=table).weight.numpy()
    assert weights.shape == (700, 3, 3)
    assert weights[:600].var() == pytest.approx(2 / 5400, rel=0.1)
    assert weights[600:].var() == pytest.approx(2 / 900, rel=0.15)


def test_a_signal_keeps_its_size_through_thirty_layers():
    minicnn.manual_seed(0)
    deep = nn.Sequential(*[nn.Sequential(nn.Linear(256, 256), nn.ReLU()) for _ in range(30)])
    out = deep(np.random.default_rng(0).standard_normal((64, 256)).astype(np.float32)).numpy()
    assert 0.1 < np.sqrt((out**2).mean()) < 10


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("table", [None, np.array([[True, False, True], [True, True, True], [False, True, False]])])
def test_fold_batch_norm_gives_one_layer_that_does_what_two_do_in_inference(bias, table):
    rng = np.random.default_rng(0)
    conv = nn.Conv2d(3, 3, 3, stride=2, padding=1, bias=bias, table=table)
    norm = nn.BatchNorm2d(3, eps=1e-3, activation="relu6")
    for array in (*conv.parameters(), *norm.parameters(), *norm.buffers()):
        nn.init.fill(array, rng.uniform(0.5, 2, array.shape))
    norm.eval()
    x, residual = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 9, 9), (2, 3, 5, 5)))
    one = nn.fold_batch_norm(conv, norm)
    for shortcut in (None, residual):
        np.testing.assert_allclose(one(x, shortcut).numpy(), norm(conv(x), shortcut).numpy(), atol=2e-5)
    assert [name for name, _ in one.named_parameters()] == ["weight", "bias"]
    assert len(list(conv.parameters())) == 1 + bias, "the two layers stay as they are"


def test_fold_batch_norm_refuses_what_does_not_follow():
    with pytest.raises(ShapeError, match="num_features must equal out_channels, got 4 and 8"):
        nn.fold_batch_norm(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(4))
    with pytest.raises(OptionError, match="conv must have no activation, got 'relu'"):
        nn.fold_batch_norm(nn.Conv2d(3, 8, 3, activation="relu"), nn.BatchNorm2d(8))


def test_the_first_weights_follow_the_rule_in_force():
    with nn.init.using(nn.init.normal), nn.init.using(nn.init.glorot_2010):
        bound = np.abs(nn.Linear(50, 40).weight.numpy()).max()
    assert 0.25 < bound <= np.sqrt(6 / 90) + 1e-6
    with nn.init.using(nn.init.zeros), nn.init.using(nn.init.glorot_2010):
        assert not nn.Conv2d(3, 2, 3).weight.numpy().any()
    assert nn.Conv2d(3, 2, 3).weight.numpy().all()


def test_a_norm_without_scale_folds_and_loads():
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, scale=False, activation="relu").eval()
    assert "weight" not in norm.state_dict()
    nn.init.fill(norm.running_var, [0.5, 1.0, 2.0, 3.0])
    nn.init.fill(norm.running_mean, [0.5, -1.0, 0.0, 1.0])
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(nn.fold_batch_norm(conv, norm)(x).numpy(), norm(conv(x)).numpy(), atol=1e-6)


def test_a_depthwise_block_needs_a_norm():
    with pytest.raises(OptionError, match="ConvNorm: norm must be given for a depthwise convolution, got None"):
        nn.ConvNorm(4, 4, 3, groups=4)
