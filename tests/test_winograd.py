"""Winograd's convolution against the direct one: the same numbers, but for rounding, wherever it steps in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.kernels import conv2d, winograd

WINDOWS = {(3, 1): 4, (4, 1): 3, (5, 1): 2, (5, 2): 4, (7, 2): 3, (11, 4): 4}  # (window, stride): side of a tile


@pytest.fixture(autouse=True)
def _as_it_was():
    threads = minicnn.get_num_threads()
    yield
    minicnn.set_winograd(True)
    minicnn.set_num_threads(threads)


def three(x, weight, bias, grad_out, on, *, stride=1, pads=((1, 1), (1, 1)), groups=1, **epilogue):
    """Forward and both gradients, with the algorithm on or off."""
    minicnn.set_winograd(on)
    options = {"stride": (stride, stride), "dilation": (1, 1), "groups": groups, "table": None, "padding": pads}
    out = conv2d.conv2d_forward(x, weight, bias, out_hw=grad_out.shape[2:], **options, **epilogue)
    grad_input = conv2d.conv2d_grad_input(grad_out, weight, input_shape=x.shape, **options)
    return out, grad_input, conv2d.conv2d_grad_weight(grad_out, x, weight_shape=weight.shape, **options)


@st.composite
def layers(draw):
    n, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2]))
    size, stride = draw(st.sampled_from(sorted(WINDOWS)))
    c_in = groups * (draw(st.integers(16, 40)) if stride == 1 else draw(st.integers(1, 6)))
    c_out = groups * draw(st.integers(8, 60))
    out_hw = draw(st.sampled_from([3, 4, 7, 8, 14])), draw(st.sampled_from([4, 6, 7, 13, 30]))
    pads = tuple((draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1))) for _ in "yx")
    spare = draw(st.integers(0, stride - 1))  # rows and columns that no window reaches
    hw = tuple(max(1, (o - 1) * stride + size + spare - sum(p)) for o, p in zip(out_hw, pads, strict=True))
    out_hw = tuple((s + sum(p) - size) // stride + 1 for s, p in zip(hw, pads, strict=True))
    return n, groups, c_in, c_out, size, stride, hw, pads, out_hw


@settings(deadline=None, max_examples=40)
@given(layers(), st.integers(0, 2**32 - 1), st.sampled_from([None, "relu", "relu6"]), st.booleans())
def test_it_gives_what_the_direct_sum_gives(layer, seed, activation, with_residual):
    n, groups, c_in, c_out, size, stride, hw, pads, out_hw = layer
    rng = np.random.default_rng(seed)
    x, grad_out = rng.standard_normal((n, c_in, *hw)), rng.standard_normal((n, c_out, *out_hw))
    weight, bias = rng.standard_normal((c_out, c_in // groups, size, size)), rng.standard_normal(c_out)
    epilogue = {"residual": rng.standard_normal(grad_out.shape) if with_residual else None, "activation": activation}
    options = {"stride": stride, "pads": pads, "groups": groups, **epilogue}
    results = [three(x, weight, bias, grad_out, on, **options) for on in (True, False)]
    for fast, direct in zip(*results, strict=True):
        np.testing.assert_allclose(fast, direct, rtol=0, atol=1e-11 * max(1.0, np.abs(direct).max()))


# (batch, c_in, size, c_out, window, stride, groups): layers of VGG, ResNet, GoogLeNet and AlexNet, large maps cut to a
# part
REAL = [
    (1, 64, 56, 64, 3, 1, 1), (1, 64, 112, 128, 3, 1, 1), (1, 128, 56, 128, 3, 1, 1), (1, 128, 28, 256, 3, 1, 1),
    (1, 256, 28, 256, 3, 1, 1), (1, 256, 14, 512, 3, 1, 1), (2, 512, 14, 512, 3, 1, 1), (2, 512, 7, 512, 3, 1, 1),
    (2, 96, 28, 128, 3, 1, 1), (2, 160, 14, 320, 3, 1, 1), (8, 16, 32, 16, 3, 1, 1), (8, 64, 8, 64, 3, 1, 1),
    (1, 384, 13, 384, 3, 1, 2), (4, 16, 28, 32, 5, 1, 1), (2, 48, 35, 64, 5, 1, 1), (2, 96, 27, 256, 5, 1, 2),
    (1, 3, 224, 64, 11, 4, 1), (1, 3, 112, 64, 7, 2, 1),
]  # fmt: skip


@pytest.mark.parametrize("layer", REAL, ids=lambda layer: "-".join(map(str, layer)))
def test_its_error_stays_below_2e_4_of_the_standard_deviation(layer):
    n, c_in, size, c_out, window, stride, groups = layer
    rng = np.random.default_rng(0)
    pad = window // 2
    side, channels = (size + 2 * pad - window) // stride + 1, c_in // groups
    x, grad_out = rng.standard_normal((n, c_in, size, size)), rng.standard_normal((n, c_out, side, side))
    weight = rng.standard_normal((c_out, channels, window, window)) / window / np.sqrt(channels)
    options = {"stride": stride, "pads": ((pad, pad), (pad, pad)), "groups": groups}
    assert winograd.wins("forward", c_out, channels, (window, window), (stride, stride), (1, 1), groups, (side, side))
    exact = three(x, weight, None, grad_out, on=False, **options)
    fast = three(*(a.astype(np.float32) for a in (x, weight)), None, grad_out.astype(np.float32), on=True, **options)
    for name, ours, true in zip(("out", "grad_input", "grad_weight"), fast, exact, strict=True):
        assert ours.dtype == np.float32
        assert np.abs(ours - true).max() < 2e-4 * true.std(), name


@pytest.mark.parametrize(
    "options", [{"c_in": 100}, {"c_in": 200, "groups": 2, "window": 5}, {"c_in": 3, "window": 7, "stride": 2}], ids=str
)
def test_one_and_many_threads_agree_bit_for_bit(options):
    groups, window, stride = options.get("groups", 1), options.get("window", 3), options.get("stride", 1)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, options["c_in"], 14 * stride, 14 * stride)).astype(np.float32)
    grad_out = rng.standard_normal((2, 200, 14, 14)).astype(np.float32)
    weight = rng.standard_normal((200, options["c_in"] // groups, window, window)).astype(np.float32)
    pads = ((window // 2, (window - stride) // 2),) * 2
    results = []
    for threads in (1, 3):
        minicnn.set_num_threads(threads)
        results.append(three(x, weight, None, grad_out, on=True, stride=stride, pads=pads, groups=groups))
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize("window_and_stride", WINDOWS, ids=str)
def test_it_steps_in_for_every_window_that_six_points_serve(window_and_stride):
    window, stride = window_and_stride
    side = WINDOWS[window_and_stride]
    layer = {"window": (window,) * 2, "stride": (stride,) * 2, "dilation": (1, 1), "groups": 1}
    assert winograd.wins("forward", 64, 64, **layer, out_hw=(4 * side, 4 * side))
    assert not winograd.wins("forward", 64, 64, **layer, out_hw=(1, 4 * side)), "tiles would be mostly empty"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"window": (2, 2)}, "of the multiplications, too few are saved"),
        ({"window": (7, 7)}, "six points give no output"),
        ({"window": (3, 5)}, "the axes differ"),
        ({"stride": (2, 2)}, "as for a window of 2 x 2"),
        ({"dilation": (1, 2)}, "no holes"),
        ({"groups": 32}, "too few output channels"),
        ({"c_in": 2}, "too few input channels"),
        ({"out_hw": (2, 2)}, "a tile would be mostly empty"),
    ],
)
def test_it_steps_in_only_where_it_pays(changed, why):
    layer = {
        "c_out": 64, "c_in": 64, "window": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1, "out_hw": (14, 14)
    }  # fmt: skip
    for product in winograd.FEWEST:
        assert winograd.wins(product, **layer)
        assert not winograd.wins(product, **{**layer, **changed}), why


def test_a_setting_turns_it_off():
    layer = ("forward", 64, 64, (3, 3), (1, 1), (1, 1), 1, (14, 14))
    minicnn.set_winograd(False)
    assert not winograd.wins(*layer)
    minicnn.set_winograd(True)
    assert winograd.wins(*layer)
    with pytest.raises(ValueError, match="set_winograd: on must be True or False, got 0"):
        minicnn.set_winograd(0)
