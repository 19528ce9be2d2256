import numpy as np
import pytest

import minicnn.functional as F


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_sum_to_one_for_any_scores(dtype):
    scores = (np.random.default_rng(0).standard_normal((5, 7, 3)) * 1e4).astype(dtype)
    for dim in range(3):
        np.testing.assert_allclose(F.softmax(scores, dim).numpy().sum(dim), 1, rtol=1e-6)
        assert np.isfinite(F.log_softmax(scores, dim).numpy()).all()


def test_a_row_of_minus_infinity_is_nan_and_alone():
    scores = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    np.testing.assert_array_equal(F.softmax(scores).numpy(), [[np.nan, np.nan], [1, 0]])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,)])
def test_empty(shape):
    for op in (F.softmax, F.log_softmax):
        for dim in range(len(shape)):
            assert op(np.empty(shape), dim).shape == shape
