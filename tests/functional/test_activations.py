import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn.testing import pull_back

both_kernels = pytest.mark.parametrize("kernels", ["fast", "reference"])


@both_kernels
@pytest.mark.parametrize(("op", "slopes"), [(F.relu, [0, 0, 1, 1, 1, 1]), (F.relu6, [0, 0, 1, 0, 0, 1])])
def test_slope_is_zero_at_a_corner_and_nan_passes(op, slopes, kernels):
    x = np.array([-1.0, 0.0, 3.0, 6.0, 7.0, np.nan])
    with minicnn.using_kernels(kernels):
        _, grads = pull_back(op, {"input": x}, np.ones(6))
    np.testing.assert_array_equal(grads["input"], slopes)


def test_a_closed_unit_stops_an_infinite_gradient():
    _, grads = pull_back(F.relu, {"input": np.array([-1.0, 1.0])}, np.array([np.inf, np.nan]))
    np.testing.assert_array_equal(grads["input"], [0, np.nan])


def test_small_probabilities_keep_their_digits():
    x = np.float32([-20, -50, -80])
    np.testing.assert_allclose(F.sigmoid(x).numpy(), np.exp(x.astype(np.float64)), rtol=1e-6)


def test_scaled_tanh_is_one_at_one():
    np.testing.assert_allclose(F.scaled_tanh(np.array([1.0, -1.0])).numpy(), [0.99999726, -0.99999726], atol=5e-9)
