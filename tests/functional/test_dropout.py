"""Is the mask random enough? Bounds are five standard deviations, for a fixed seed."""

import numpy as np
import pytest

import minicnn
import minicnn.functional as F
from minicnn.errors import MiniCNNError
from minicnn.kernels import jit


def kept(shape, p=0.5, *, op=F.dropout, **stream):
    return op(np.ones(shape, np.float32), p, **stream).numpy() != 0


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("seed", "step"), [(0, 0), (1, 0), (0, 1), (2**64 - 1, 2**64 - 1)])
def test_share_of_dropped_elements(p, seed, step):
    n = 200_000
    dropped = n - kept(n, p, seed=seed, step=step).sum()
    assert abs(dropped - n * p) < 5 * np.sqrt(n * p * (1 - p))


def test_mean_is_kept_on_average():
    n = 200_000
    out = F.dropout(np.ones(n), 0.8, seed=3, step=4).numpy()
    assert set(np.unique(out)) == {0, 1 / (1 - 0.8)}
    assert abs(out.mean() - 1) < 5 * np.sqrt(0.8 / 0.2 / n)


def agreement(a, b):
    """Standard deviations by which the number of equal entries differs from half."""
    return abs((a == b).sum() - a.size / 2) / np.sqrt(a.size / 4)


def test_neighbouring_steps_seeds_and_elements_are_independent():
    n = 100_000
    masks = {(seed, step): kept(n, seed=seed, step=step) for seed in (0, 1, 2, 2**63) for step in (0, 1, 2, 3)}
    keys = sorted(masks)
    for i, a in enumerate(keys):
        for b in keys[:i]:
            assert agreement(masks[a], masks[b]) < 5, (a, b)
    mask = masks[0, 1]
    for lag in (1, 2, 8, 64, 1024):
        assert agreement(mask[lag:], mask[:-lag]) < 5, lag


def test_one_element_over_many_steps():
    fates = np.array([kept(3, seed=5, step=step) for step in range(4000)])
    assert (abs(fates.sum(axis=0) - 2000) < 5 * np.sqrt(1000)).all()
    assert agreement(fates[1:, 0], fates[:-1, 0]) < 5
    assert agreement(fates[:, 0], fates[:, 1]) < 5


def test_the_mask_depends_on_the_element_alone():
    flat = kept(600, seed=1, step=2)
    np.testing.assert_array_equal(kept((20, 30), seed=1, step=2).ravel(), flat)
    np.testing.assert_array_equal(kept(60, seed=1, step=2), flat[:60])
    np.testing.assert_array_equal(F.dropout(np.ones(600), seed=1, step=2).numpy() != 0, flat)


def test_the_mask_does_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(jit, "WORTH_A_THREAD", 1)
    before, masks = jit.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            minicnn.set_num_threads(threads)
            masks.append((kept((50, 30), seed=1, step=2), kept((5, 10, 6, 5), seed=1, step=2, op=F.dropout2d)))
    finally:
        minicnn.set_num_threads(before)
    for flat, planes in masks[1:]:
        np.testing.assert_array_equal(flat, masks[0][0])
        np.testing.assert_array_equal(planes, masks[0][1])


def test_dropout2d_drops_whole_channels_by_the_same_numbers():
    planes = kept((20, 30, 4, 5), op=F.dropout2d, seed=1, step=2)
    assert (planes == planes[:, :, :1, :1]).all()
    np.testing.assert_array_equal(planes[:, :, 0, 0], kept((20, 30), seed=1, step=2))


def test_backward_uses_the_mask_of_forward():
    x = minicnn.Tensor(np.ones((40, 50)), requires_grad=True)
    out = F.dropout(x, 0.3)
    F.dropout(x, 0.3)  # a later call must not move the mask of the first
    minicnn.manual_seed(99)
    out.backward(np.full(out.shape, 2.0))
    np.testing.assert_array_equal(x.grad.numpy(), 2 * out.numpy())
    minicnn.manual_seed(0)


def test_without_seed_minicnn_random_decides():
    minicnn.manual_seed(11)
    first, second = F.dropout(np.ones(100)).numpy(), F.dropout(np.ones(100)).numpy()
    assert (first != second).any()
    np.testing.assert_array_equal(second, F.dropout(np.ones(100), seed=11, step=1).numpy())
    state = minicnn.random.get_state()
    third = F.dropout(np.ones(100)).numpy()
    minicnn.random.set_state(state)
    np.testing.assert_array_equal(F.dropout(np.ones(100)).numpy(), third)
    minicnn.manual_seed(0)


def test_inference_and_refused_calls_use_up_no_random_numbers():
    minicnn.manual_seed(11)
    x = minicnn.Tensor(np.ones(3))
    assert F.dropout(x, 0.5, False) is x
    for arguments in ({"p": 2}, {"p": "half"}, {"seed": 1}):
        with pytest.raises(MiniCNNError):
            F.dropout(x, **arguments)
    assert minicnn.random.next_stream() == (11, 0)
    minicnn.manual_seed(0)
