"""Winograd's convolution against the direct one: the same numbers, but for rounding, wherever it steps in."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.kernels import conv2d, winograd

OPTIONS = {"stride": (1, 1), "dilation": (1, 1), "groups": 1, "table": None}


@pytest.fixture(autouse=True)
def _as_it_was():
    threads = minicnn.get_num_threads()
    yield
    minicnn.set_winograd(True)
    minicnn.set_num_threads(threads)


def three(x, weight, bias, grad_out, pads, on, **epilogue):
    """Forward and both gradients, with the algorithm on or off."""
    minicnn.set_winograd(on)
    options = {**OPTIONS, "padding": pads}
    out = conv2d.conv2d_forward(x, weight, bias, out_hw=grad_out.shape[2:], **options, **epilogue)
    grad_input = conv2d.conv2d_grad_input(grad_out, weight, input_shape=x.shape, **options)
    return out, grad_input, conv2d.conv2d_grad_weight(grad_out, x, weight_shape=weight.shape, **options)


@st.composite
def layers(draw):
    n, c_in, c_out = draw(st.integers(1, 3)), draw(st.integers(16, 40)), draw(st.integers(16, 60))
    out_hw = draw(st.sampled_from([3, 4, 7, 8, 14])), draw(st.sampled_from([4, 6, 7, 13, 30]))
    pads = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in "yx")
    hw = tuple(max(1, o + 2 - sum(p)) for o, p in zip(out_hw, pads, strict=True))
    out_hw = tuple(s + sum(p) - 2 for s, p in zip(hw, pads, strict=True))
    return n, c_in, c_out, hw, pads, out_hw


@settings(deadline=None, max_examples=25)
@given(layers(), st.integers(0, 2**32 - 1), st.sampled_from([None, "relu", "relu6"]), st.booleans())
def test_it_gives_what_the_direct_sum_gives(layer, seed, activation, with_residual):
    n, c_in, c_out, hw, pads, out_hw = layer
    rng = np.random.default_rng(seed)
    x, grad_out = rng.standard_normal((n, c_in, *hw)), rng.standard_normal((n, c_out, *out_hw))
    weight, bias = rng.standard_normal((c_out, c_in, 3, 3)), rng.standard_normal(c_out)
    residual = rng.standard_normal(grad_out.shape) if with_residual else None
    results = [
        three(x, weight, bias, grad_out, pads, on, residual=residual, activation=activation) for on in (True, False)
    ]
    for fast, direct in zip(*results, strict=True):
        np.testing.assert_allclose(fast, direct, rtol=0, atol=1e-11 * max(1.0, np.abs(direct).max()))


# (batch, c_in, size, c_out): the 3 x 3 layers of VGG, ResNet and GoogLeNet, large maps cut to a part
REAL = [
    (1, 64, 56, 64), (1, 64, 112, 128), (1, 128, 56, 128), (1, 128, 28, 256), (1, 256, 28, 256), (1, 256, 14, 512),
    (2, 512, 14, 512), (2, 512, 7, 512), (2, 96, 28, 128), (2, 160, 14, 320), (8, 16, 32, 16), (8, 64, 8, 64),
]  # fmt: skip


@pytest.mark.parametrize("layer", REAL, ids=lambda layer: "x".join(map(str, layer)))
def test_its_error_stays_below_2e_4_of_the_standard_deviation(layer):
    n, c_in, size, c_out = layer
    rng = np.random.default_rng(0)
    x, grad_out = rng.standard_normal((n, c_in, size, size)), rng.standard_normal((n, c_out, size, size))
    weight = rng.standard_normal((c_out, c_in, 3, 3)) / np.sqrt(9 * c_in)
    exact = three(x, weight, None, grad_out, ((1, 1), (1, 1)), on=False)
    x, weight, grad_out = (array.astype(np.float32) for array in (x, weight, grad_out))
    for name, ours, true in zip(
        ("out", "grad_input", "grad_weight"),
        three(x, weight, None, grad_out, ((1, 1), (1, 1)), on=True),
        exact,
        strict=True,
    ):
        assert ours.dtype == np.float32
        assert np.abs(ours - true).max() < 2e-4 * true.std(), name


def test_one_and_many_threads_agree_bit_for_bit():
    rng = np.random.default_rng(0)
    x, grad_out = (rng.standard_normal((2, 100, 14, 14)).astype(np.float32) for _ in range(2))
    weight = rng.standard_normal((100, 100, 3, 3)).astype(np.float32)
    results = []
    for threads in (1, 3):
        minicnn.set_num_threads(threads)
        results.append(three(x, weight, None, grad_out, ((1, 1), (1, 1)), on=True))
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"window": (5, 5)}, "3 x 3 only"),
        ({"stride": (2, 1)}, "stride 1 only"),
        ({"dilation": (1, 2)}, "no holes"),
        ({"groups": 2}, "one group"),
        ({"c_in": 3}, "too few channels"),
        ({"out_hw": (2, 2)}, "a tile would be mostly empty"),
    ],
)
def test_it_steps_in_only_where_it_pays(changed, why):
    layer = {
        "c_out": 64, "c_in": 64, "window": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1, "out_hw": (14, 14)
    }  # fmt: skip
    assert winograd.wins(**layer)
    assert not winograd.wins(**{**layer, **changed}), why


def test_a_setting_turns_it_off():
    layer = (64, 64, (3, 3), (1, 1), (1, 1), 1, (14, 14))
    minicnn.set_winograd(False)
    assert not winograd.wins(*layer)
    minicnn.set_winograd(True)
    assert winograd.wins(*layer)
    with pytest.raises(ValueError, match="set_winograd: on must be True or False, got 0"):
        minicnn.set_winograd(0)
