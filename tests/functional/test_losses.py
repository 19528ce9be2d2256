import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn.errors import GraphError
from minicnn.testing import pull_back

SCORES = np.random.default_rng(0).standard_normal((4, 3))
both_kernels = pytest.mark.parametrize("kernels", ["fast", "reference"])


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_every_integer_dtype_is_a_class_index(dtype):
    labels = np.array([0, 2, 1, 1])
    expected = F.cross_entropy(SCORES, labels).item()
    assert F.cross_entropy(SCORES, labels.astype(dtype)).item() == expected
    assert F.cross_entropy(SCORES, minicnn.Tensor(labels.astype(dtype))).item() == expected


@both_kernels
def test_ignored_places_have_no_gradient_even_if_nan(kernels):
    scores = SCORES.copy()
    scores[1] = np.nan
    labels = np.array([0, -100, 1, -100])
    with minicnn.using_kernels(kernels):
        out, grads = pull_back(lambda x: F.cross_entropy(x, labels), {"x": scores}, np.array(1.0))
    assert out == pytest.approx(F.cross_entropy(scores[[0, 2]], labels[[0, 2]]).item(), rel=1e-14)
    assert not grads["x"][[1, 3]].any()
    assert grads["x"][[0, 2]].all()


@both_kernels
def test_if_all_is_ignored_the_mean_is_nan_and_the_gradient_zero(kernels):
    labels = np.full(4, 7)
    with minicnn.using_kernels(kernels):
        out, grads = pull_back(lambda x: F.cross_entropy(x, labels, ignore_index=7), {"x": SCORES}, np.array(1.0))
    assert np.isnan(out)
    assert not grads["x"].any()
    assert F.cross_entropy(SCORES, labels, ignore_index=7, reduction="sum").item() == 0


def test_a_nan_score_is_not_hidden():
    scores = SCORES.copy()
    scores[2, 0] = np.nan
    losses = F.cross_entropy(scores, np.array([1, 1, 1, 1]), reduction="none").numpy()
    np.testing.assert_array_equal(np.isnan(losses), [False, False, True, False])


def test_scores_of_ten_thousand_in_float32():
    scores = np.float32([[1e4, 0, -1e4], [1e4, 1e4 + 1, 1e4 + 2]])
    labels = np.array([2, 0])
    out, grads = pull_back(lambda x: F.cross_entropy(x, labels, reduction="none"), {"x": scores}, np.ones(2))
    p = np.exp([0.0, 1, 2]) / np.exp([0.0, 1, 2]).sum()
    np.testing.assert_allclose(out, [2e4, -np.log(p[0])], rtol=1e-6)
    np.testing.assert_allclose(grads["x"], [[1, 0, -1], [p[0] - 1, p[1], p[2]]], atol=1e-6)


@pytest.mark.parametrize(("reduction", "expected"), [("mean", np.nan), ("sum", 0.0), ("none", np.empty(0))])
def test_empty_batch(reduction, expected):
    for target in (np.empty(0, int), np.empty((0, 3))):
        out, grads = pull_back(
            lambda x, t=target: F.cross_entropy(x, t, reduction=reduction), {"x": SCORES[:0]}, np.ones_like(expected)
        )
        np.testing.assert_array_equal(out, expected)
        assert grads["x"].shape == (0, 3)
    out = F.mse_loss(SCORES[:0], SCORES[:0], reduction=reduction).numpy()
    np.testing.assert_array_equal(out, np.empty((0, 3)) if reduction == "none" else expected)


def test_class_weights_get_no_gradient():
    weight = minicnn.Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(GraphError, match="weight gets no gradient here"):
        F.cross_entropy(SCORES, np.zeros(4, int), weight)
    with minicnn.no_grad():
        assert F.cross_entropy(SCORES, np.zeros(4, int), weight).shape == ()


def test_near_a_code_the_distance_keeps_its_digits():
    codes = np.sign(np.random.default_rng(1).standard_normal((10, 84))).astype(np.float32) * 100
    near = codes + np.float32(2**-10)
    np.testing.assert_array_equal(np.diag(F.rbf(near, codes).numpy()), np.float32(84 * 2**-20))
