"""The edges of a maximum: ties, NaN, minus infinity, windows without a pixel, bands of a large plane."""

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn.kernels import jit, twin
from minicnn.kernels import lines as layout
from minicnn.kernels import max_pool2d as fast
from minicnn.testing import pull_back

KERNELS = pytest.mark.parametrize("kernels", ["fast", "reference"])


def pool(rows, kernel_size, **options):
    """Maxima of one image, and where a gradient of 1, 2, 3, .. goes."""
    image = np.array(rows, np.float32)[None, None]
    shape = F.max_pool2d(image, kernel_size, **options).shape
    cotangent = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    out, grads = pull_back(lambda x: F.max_pool2d(x, kernel_size, **options), {"x": image}, cotangent)
    return out[0, 0], grads["x"][0, 0]


@KERNELS
def test_the_first_of_equal_maxima_takes_all(kernels):
    with minicnn.using_kernels(kernels):
        _, grad = pool(np.zeros((3, 3)), 2, stride=1)
        np.testing.assert_array_equal(grad, [[1, 2, 0], [3, 4, 0], [0, 0, 0]])


@KERNELS
def test_the_first_that_is_not_a_number_takes_all(kernels):
    nan = np.nan
    with minicnn.using_kernels(kernels):
        out, grad = pool([[9, 1, 2, 3], [nan, nan, nan, np.inf]], 2, stride=(2, 1))
        np.testing.assert_array_equal(out, [[nan, nan, nan]])
        np.testing.assert_array_equal(grad, [[0, 0, 0, 0], [1, 2, 3, 0]])


@KERNELS
@pytest.mark.parametrize("size", [3, 19])
def test_minus_infinity_is_a_pixel_and_padding_is_not(kernels, size):
    with minicnn.using_kernels(kernels):
        out, grad = pool(np.full((size, size), -np.inf), 3, stride=2, padding=1)
        assert (out == -np.inf).all()
        places = [0, *range(1, size - 1, 2)]  # the first window begins outside
        expected = np.zeros((size, size))
        expected[np.ix_(places, places)] = np.arange(1, out.size + 1).reshape(out.shape)
        np.testing.assert_array_equal(grad, expected)


@KERNELS
def test_a_window_without_a_pixel_gives_its_gradient_to_nobody(kernels):
    with minicnn.using_kernels(kernels):
        out, grad = pool([[1]], 2, dilation=2, padding=1)
        np.testing.assert_array_equal(out, [[-np.inf]])
        np.testing.assert_array_equal(grad, [[0]])
        out, grad = pool(np.ones((2, 2)), 2, dilation=3, padding=1, stride=1)  # taps at -1 and 2, then at 0 and 3
        np.testing.assert_array_equal(out, [[-np.inf]])
        np.testing.assert_array_equal(grad, np.zeros((2, 2)))


@KERNELS
def test_windows_that_hang_over_the_end(kernels):
    with minicnn.using_kernels(kernels):
        out, grad = pool(-np.arange(1.0, 13).reshape(3, 4), 2, stride=(2, 3), ceil_mode=True)
        np.testing.assert_array_equal(out, [[-1, -4], [-9, -12]])
        np.testing.assert_array_equal(grad, [[1, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]])


@pytest.mark.parametrize("lines", [1, 300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "out"),
    [
        ((41, 23), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), (21, 12)),
        ((41, 23), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (41, 23)),
        ((17, 40), (3, 2), (3, 4), ((1, 0), (0, 1)), (2, 3), (5, 10)),
        ((20, 30), (17, 16), (1, 2), ((0, 0), (0, 0)), (1, 1), (4, 8)),
    ],
)
def test_bands_and_groups_of_planes_do_not_show(lines, dtype, size, kernel, stride, padding, dilation, out):
    x = np.random.default_rng(1).integers(-3, 3, (2, 5, *size)).astype(dtype)
    options = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "out_hw": out}
    with minicnn.using_kernels("reference"):
        expected = twin("max_pool2d").max_pool2d_forward(x, keep_index=True, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "LINES", lines)
        patch.setattr(jit, "WORTH_A_THREAD", 1)
        for table in (layout.plan, fast._tables):
            table.cache_clear()
        try:
            got = fast.max_pool2d_forward(x, keep_index=True, **options)
            maxima, nothing = fast.max_pool2d_forward(x, keep_index=False, **options)
        finally:
            for table in (layout.plan, fast._tables):
                table.cache_clear()
    for array, right in zip(got, expected, strict=True):
        np.testing.assert_array_equal(array, right)
    np.testing.assert_array_equal(maxima, expected[0])
    assert nothing.size == 0
