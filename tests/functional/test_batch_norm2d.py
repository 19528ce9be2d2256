import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn.errors import DTypeError, GraphError, OptionError

# Two values in one channel: mean 2, variance 1 (divisor 2) or 2 (divisor 1).
X = np.array([[[[1.0, 3.0]]]])
both_kernels = pytest.mark.parametrize("kernels", ["fast", "reference"])


@pytest.mark.parametrize(("unbiased", "var"), [(True, 2.0), (False, 1.0)])
@pytest.mark.parametrize("kind", [np.array, minicnn.Tensor])
def test_training_moves_the_running_statistics_in_place(kind, unbiased, var):
    running_mean, running_var = kind(np.array([10.0])), kind(np.array([20.0]))
    F.batch_norm2d(X, running_mean, running_var, training=True, momentum=0.25, unbiased=unbiased)
    assert np.asarray(running_mean) == 0.75 * 10 + 0.25 * 2
    assert np.asarray(running_var) == 0.75 * 20 + 0.25 * var


def test_inference_and_no_grad_leave_or_move_them_alike():
    running_mean, running_var = np.zeros(1), np.ones(1)
    F.batch_norm2d(X, running_mean, running_var)
    assert (running_mean[0], running_var[0]) == (0, 1)
    with minicnn.no_grad():
        F.batch_norm2d(X, running_mean, running_var, training=True)
    np.testing.assert_allclose((running_mean[0], running_var[0]), (0.2, 1.1), rtol=1e-15)


def test_running_statistics_may_be_views():
    block = np.ones((2, 6))
    F.batch_norm2d(np.repeat(X, 3, axis=1), block[0, ::2], block[1, ::2], training=True, momentum=1)
    np.testing.assert_array_equal(block, [[2, 1, 2, 1, 2, 1], [2, 1, 2, 1, 2, 1]])


@both_kernels
def test_empty_batch_in_training_changes_nothing(kernels):
    running_mean, running_var = np.array([3.0]), np.array([4.0])
    weight = minicnn.Tensor(np.array([5.0]), requires_grad=True)
    with minicnn.using_kernels(kernels):
        out = F.batch_norm2d(X[:0], running_mean, running_var, weight, training=True)
        out.backward(np.zeros(out.shape))
    assert out.shape == (0, 1, 1, 2)
    assert (running_mean[0], running_var[0], weight.grad.item()) == (3, 4, 0)


def test_a_refused_call_changes_nothing():
    running_mean, running_var = np.zeros(1), np.ones(1)
    running_var.flags.writeable = False
    with pytest.raises(OptionError, match="running_var is changed in training, got a read-only array"):
        F.batch_norm2d(X, running_mean, running_var, training=True)
    with pytest.raises(DTypeError, match="input float64, running_mean float32"):
        F.batch_norm2d(X, running_mean.astype(np.float32), np.ones(1), training=True)
    with pytest.raises(GraphError, match="running_mean gets no gradient here"):
        F.batch_norm2d(X, minicnn.Tensor(running_mean, requires_grad=True), np.ones(1))
    assert running_mean[0] == 0


def test_nan_in_the_running_variance_stays_in_its_channel():
    out = F.batch_norm2d(np.repeat(X, 2, axis=1), np.zeros(2), np.array([np.nan, 1.0])).numpy()
    assert np.isnan(out[:, 0]).all()
    assert np.isfinite(out[:, 1]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_channel(value):
    x = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    x[1, 0, 2, 2] = value
    running_mean, running_var = np.zeros((2, 2), np.float32)
    out = F.batch_norm2d(x, running_mean, running_var, training=True).numpy()
    assert np.isnan(out[1, 0, 2, 2])
    assert np.isfinite(out[:, 1]).all()
    assert not np.isfinite(running_mean[0])
    assert np.isfinite(running_mean[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
def test_in_inference_a_value_that_is_no_number_stays_in_its_pixel(value, activation):
    x = np.full((1, 2, 3, 3), 0.5, np.float32)
    x[0, 0, 1, 1] = value
    results = []
    for kernels in ("fast", "reference"):
        with minicnn.using_kernels(kernels):
            t = minicnn.Tensor(x, requires_grad=True)
            out = F.batch_norm2d(t, *np.float32([[0, 0], [4, 4]]), eps=0, activation=activation)
            out.backward(np.ones(x.shape))
            results.append((out.numpy(), t.grad.numpy()))
    np.testing.assert_array_equal(results[0], results[1])
    others = np.arange(18).reshape(x.shape) != 4
    assert (results[0][0][others] == 0.25).all()
    assert (results[0][1][others] == 0.5).all()


@pytest.mark.parametrize("mean", [1e4, -3e5])
def test_a_large_mean_does_not_drown_the_variance(mean):
    rng = np.random.default_rng(0)
    x = (mean + rng.standard_normal((4, 3, 16, 16))).astype(np.float32)
    g = rng.standard_normal(x.shape)

    def run(dtype):
        t = minicnn.Tensor(x.astype(dtype), requires_grad=True)
        running_mean, running_var = np.zeros((2, 3), dtype)
        out = F.batch_norm2d(t, running_mean, running_var, training=True, momentum=1)
        out.backward(g.astype(dtype))
        return out.numpy(), running_var, t.grad.numpy()

    for comp, ref in zip(run(np.float32), run(np.float64), strict=True):
        np.testing.assert_allclose(comp, ref, rtol=0, atol=2e-6)
    running = np.full(3, mean, np.float32), np.ones(3, np.float32)
    out = F.batch_norm2d(x, *running, eps=0).numpy()
    np.testing.assert_array_equal(out, x - np.float32(mean))  # exact in float32, so nothing may be lost


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", ["large mean", "outlier"])
def test_the_statistics_of_one_pass_are_exact(case, dtype):
    """Of 10000 ± 1, and of values whose very first, to which the pass relates all others, is far from these."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 31, 33))
    if case == "large mean":
        x += 1e4
    else:
        x[0, :, 0, 0] = 1e6
    x = x.astype(dtype)
    running_mean, running_var = np.zeros((2, 2), dtype)
    F.batch_norm2d(x, running_mean, running_var, training=True, momentum=1, unbiased=False)
    exact = x.astype(np.longdouble)
    # The outlier costs up to as many of the 16 digits as count ** 2 has, which float32 does not see.
    rounding = 1e-12 if case == "large mean" else x[:, 0].size ** 2 * np.finfo(np.float64).eps
    rounding = max(rounding, 2 * float(np.finfo(np.float32).eps)) if dtype == np.float32 else rounding
    np.testing.assert_allclose(running_mean, exact.mean(axis=(0, 2, 3)).astype(dtype), rtol=rounding)
    np.testing.assert_allclose(running_var, exact.var(axis=(0, 2, 3)).astype(dtype), rtol=rounding)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 7), (2, 3, 1, 1), (2, 3, 2, 2), (4, 2, 28, 28)], ids=str)
def test_in_one_pass_it_gives_what_the_ops_one_by_one_give(shape, activation, with_residual, training):
    rng = np.random.default_rng(0)
    x, residual, cotangent = (rng.standard_normal(shape).astype(np.float32) * 3 for _ in range(3))
    w, b, mean, var = (rng.uniform(0.5, 2, shape[1]).astype(np.float32) for _ in range(4))

    def run(op):
        tensors = [minicnn.Tensor(a, requires_grad=True) for a in (x, w, b, residual)]
        op(*tensors, mean.copy(), var.copy()).backward(cotangent)
        return [t.grad.numpy() for t in tensors if t.grad is not None]

    def one_pass(x, w, b, residual, mean, var):
        r = residual if with_residual else None
        return F.batch_norm2d(x, mean, var, w, b, training=training, residual=r, activation=activation)

    def one_by_one(x, w, b, residual, mean, var):
        out = F.batch_norm2d(x, mean, var, w, b, training=training)
        out = out + residual if with_residual else out
        return getattr(F, activation)(out) if activation else out

    for comp, ref in zip(run(one_pass), run(one_by_one), strict=True):
        np.testing.assert_allclose(comp, ref, rtol=1e-5, atol=2e-5)


def test_changing_the_running_statistics_after_inference_does_not_spoil_the_gradient():
    running_mean, running_var = minicnn.Tensor(np.zeros(1)), minicnn.Tensor(np.array([4.0]))
    x, w = (minicnn.Tensor(a, requires_grad=True) for a in (X, np.ones(1)))
    out = F.batch_norm2d(x, running_mean, running_var, w, eps=0)
    F.batch_norm2d(X, running_mean, running_var, training=True, momentum=1)
    out.backward(np.ones(out.shape))
    np.testing.assert_array_equal(x.grad, [[[[0.5, 0.5]]]])
    np.testing.assert_array_equal(w.grad, [2.0])


def test_saved_weight_is_guarded():
    weight = minicnn.Tensor(np.ones(1), requires_grad=True)
    x = minicnn.Tensor(X, requires_grad=True)
    out = F.batch_norm2d(x, weight=weight, training=True)
    with weight.changing() as array:
        array *= 2
    with pytest.raises(GraphError, match="changed in place"):
        out.backward(np.ones(out.shape))
