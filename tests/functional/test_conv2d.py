"""Convolutions of real size, which meet what the small ones of the battery never do: blocks of pixels, rows, depth."""

import numpy as np
import pytest

import minicnn
from minicnn.kernels import conv2d

# (N, C_in, H, W), C_out, window, and what is not the default
LAYERS = {
    "1x1, rows of pixels without ends": ((2, 40, 9, 21), 30, (1, 1), {}),
    "1x1, stride 2": ((1, 8, 60, 7), 250, (1, 1), {"stride": (2, 2)}),
    "deeper than a panel": ((3, 300, 5, 5), 20, (3, 3), {"stride": (2, 2), "padding": ((1, 1), (1, 1))}),
    "a window deeper than a panel": ((1, 2, 20, 30), 19, (17, 17), {"padding": ((0, 3), (2, 0))}),
    "first layer of ResNet": ((2, 3, 61, 61), 64, (7, 7), {"stride": (2, 2), "padding": ((3, 3), (3, 3))}),
    "first layer of AlexNet": ((2, 3, 51, 51), 22, (11, 11), {"stride": (4, 4)}),
    "few channels out, by blocks of rows": ((2, 64, 40, 33), 3, (5, 5), {"padding": ((2, 2), (2, 2))}),
    "many channels out, small images": ((5, 20, 7, 7), 500, (3, 3), {"dilation": (2, 1), "padding": ((2, 2), (1, 1))}),
    "groups": ((4, 24, 15, 15), 66, (3, 3), {"groups": 3, "padding": ((0, 1), (1, 0))}),
    # A row of the gradient lies as far from the next one as a padded row of grad_out: not to be taken for one piece.
    "rows as far apart as padded ones": (
        (1, 1, 6, 2), 1, (1, 3), {"stride": (3, 1), "dilation": (1, 2), "padding": ((1, 0), (0, 3))}
    ),
}  # fmt: skip


@pytest.fixture
def _summed_directly():
    """tests/test_winograd.py has the other way."""
    minicnn.set_winograd(False)
    yield
    minicnn.set_winograd(True)


def by_definition(x, weight, *, stride, padding, dilation, groups):
    """Sum over channels and taps, in float64, with NumPy's view of all windows."""
    kh, kw = weight.shape[2:]
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *padding))
    reach = ((kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    parts = zip(np.split(windows, groups, axis=1), np.split(weight, groups), strict=True)
    return np.concatenate([np.einsum("nchwyx,ocyx->nohw", w, f, optimize=True) for w, f in parts], axis=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("_summed_directly")
def test_layers_of_real_size(name, dtype):
    """Forward by the definition; the gradients as its adjoints: <conv(u, w), g> = <u, grad_input(g)>, and so for w."""
    shape, c_out, window, given = LAYERS[name]
    options = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, **given}
    rng = np.random.default_rng(7)
    x, u = rng.standard_normal((2, *shape)).astype(dtype)
    weight, v = rng.standard_normal((2, c_out, shape[1] // options["groups"], *window)).astype(dtype)
    expected = by_definition(x, weight, **options)
    g = rng.standard_normal(expected.shape).astype(dtype)
    tolerance = (2e-6 if dtype == np.float32 else 1e-14) * np.sqrt(weight[0].size) * 4

    threads, results = minicnn.get_num_threads(), []
    try:
        for number in (1, 3):
            minicnn.set_num_threads(number)
            out = conv2d.conv2d_forward(x, weight, None, out_hw=g.shape[2:], table=None, **options)
            grad_input = conv2d.conv2d_grad_input(g, weight, input_shape=shape, table=None, **options)
            grad_weight = conv2d.conv2d_grad_weight(g, x, weight_shape=weight.shape, table=None, **options)
            results.append((out, grad_input, grad_weight))
    finally:
        minicnn.set_num_threads(threads)
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)
    assert out.dtype == grad_input.dtype == grad_weight.dtype == dtype
    np.testing.assert_allclose(out, expected, rtol=0, atol=tolerance)

    def product(a, b):
        return np.vdot(a.astype(np.float64), b)

    for moved, change, gradient in (
        (by_definition(u, weight, **options), u, grad_input),
        (by_definition(x, v, **options), v, grad_weight),
    ):
        size = np.linalg.norm(moved) * np.linalg.norm(g)
        assert abs(product(moved, g) - product(change, gradient)) <= tolerance * size
