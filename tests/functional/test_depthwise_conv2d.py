"""What a visit of the kernels holds, bands of a large plane or several small ones, must not show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.functional as F
from cases import seeds, values, windows
from minicnn.kernels import depthwise_conv2d as fast
from minicnn.kernels import jit
from minicnn.testing import pull_back


@st.composite
def calls(draw):
    (h, w), kernel, options = draw(windows(most_pixels=24) | st.just(((24, 17), (3, 3), {"padding": 1})))
    c_in, multiplier, seed = draw(st.sampled_from([1, 2, 5])), draw(st.integers(1, 2)), draw(seeds)
    images = values((draw(st.integers(1, 2)), c_in, h, w), seed)
    return {"input": images, "weight": values((c_in * multiplier, 1, *kernel), seed)}, options


def both_ways(inputs, options):
    out = F.depthwise_conv2d(**inputs, **options).numpy()
    cotangent = np.random.default_rng(1).standard_normal(out.shape)
    out, grads = pull_back(lambda **x: F.depthwise_conv2d(**x, **options), inputs, cotangent)
    return [out, *grads.values()]


@pytest.mark.parametrize("lines", [1, 150, 1000])
@given(call=calls(), threads=st.integers(1, 3))
def test_bands_and_groups_do_not_show(lines, call, threads):
    with minicnn.using_kernels("reference"):
        expected = both_ways(*call)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast, "LINES", lines)
        patch.setattr(jit, "WORTH_A_THREAD", 1)
        fast._plan.cache_clear()
        before = minicnn.get_num_threads()
        minicnn.set_num_threads(threads)
        try:
            got = both_ways(*call)
        finally:
            minicnn.set_num_threads(before)
            fast._plan.cache_clear()
    for array, right in zip(got, expected, strict=True):
        np.testing.assert_allclose(array, right, rtol=0, atol=1e-11 * max(1.0, np.abs(right).max(initial=0)))


@pytest.mark.parametrize(("size", "stride"), [(7, 1), (10, 1), (14, 2)])
@pytest.mark.parametrize("place", [(0, 0), (-1, -1), (3, -1)])
def test_what_is_not_a_number_stays_with_its_taps(size, stride, place):
    """Seams and borders are laid out beside real pixels; infinity there must not turn a zero into NaN."""
    inputs = {"input": values((1, 3, size, size), 1), "weight": values((3, 1, 3, 3), 2)}
    inputs["input"][0, 1, *place] = np.inf
    inputs["input"][0, 2, *place] = np.nan
    options = {"stride": stride, "padding": 1}
    got = both_ways(inputs, options)
    with minicnn.using_kernels("reference"):
        expected = both_ways(inputs, options)
    for array, right in zip(got, expected, strict=True):
        np.testing.assert_allclose(array, right, rtol=1e-12, atol=1e-12)
