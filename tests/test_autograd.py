"""The tape: what backward() promises, and every way in which one could make it lie."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.functional as F
from minicnn import Tensor
from minicnn.autograd import needs_grad, record
from minicnn.errors import DTypeError, GraphError, OptionError, OutOfRangeError, ShapeError
from minicnn.testing import gradcheck


def leaf(*values: float, dtype=np.float64) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


def grad(tensor: Tensor) -> list:
    return tensor.grad.numpy().tolist()


# ------------------------------------------------------------------------------------ making a tensor


def test_dtype_rules():
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor(1.5).dtype == np.float32
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor(np.array([1.0])).dtype == np.float64
    assert Tensor(np.float64(1.0)).dtype == np.float64
    assert Tensor(np.array([1, 2], np.uint8)).dtype == np.uint8
    assert Tensor(np.array([1.0], ">f4")).dtype == np.dtype("=f4")
    assert Tensor(np.array([True])).dtype == bool


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        ("abc", DTypeError, "real numbers, got dtype <U3"),
        (None, DTypeError, "real numbers, got dtype object"),
        (1j, DTypeError, "real numbers, got dtype complex128"),
        (np.ones(1, np.longdouble), DTypeError, "real numbers, got dtype"),
        (np.ma.ones(2), DTypeError, "masked array"),
        ([[1.0], [2.0, 3.0]], ShapeError, "rectangular"),
    ],
)
def test_what_is_no_tensor(array, error, text):
    with pytest.raises(error, match=text):
        Tensor(array)


@pytest.mark.parametrize("dtype", [np.int64, np.float16, bool])
def test_only_floats_have_gradients(dtype):
    with pytest.raises(DTypeError, match="only float32 and float64 can have a gradient"):
        Tensor(np.ones(2, dtype), requires_grad=True)


def test_copied_from_every_source():
    source = np.array([1.0, 2.0])
    first = Tensor(source)
    second = Tensor(first)
    source[0] = first.data[1] = 9.0
    assert first.numpy().tolist() == [1.0, 9.0]
    assert second.numpy().tolist() == [1.0, 2.0]


def test_looking_at_it():
    x = Tensor(np.arange(6.0).reshape(2, 3))
    assert (x.shape, x.ndim, x.size, len(x), x.dtype, x.is_leaf) == ((2, 3), 2, 6, 2, np.float64, True)
    assert [row.numpy().tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]
    assert float(x[1, 2]) == 5.0
    assert int(x[0, 1]) == 1
    assert bool(x[0, 1])
    assert not bool(x[0, 0])
    with pytest.raises(ShapeError, match=r"item: the tensor must have one element, got shape \(2, 3\)"):
        x.item()
    with pytest.raises(TypeError, match="without axes"):
        len(x[0, 0])


def test_repr_says_where_it_comes_from():
    x = leaf(1.0, 2.0)
    assert repr(x) == "Tensor([1., 2.], requires_grad=True)"
    assert repr(x * x) == "Tensor([1., 4.], made by mul)"
    assert repr(Tensor([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]], dtype=float32)"


def test_numpy_is_read_only_and_shares_memory():
    x = leaf(1.0, 2.0)
    view = x.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5.0
    with x.changing() as array:
        array[0] = 7.0
    assert view.tolist() == [7.0, 2.0]
    assert not np.asarray(x).flags.writeable
    assert np.array(x).flags.writeable
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, dtype=np.float32, copy=False)


def test_numpy_functions_do_not_lose_the_gradient_silently():
    with pytest.raises(TypeError, match="__array_ufunc__"):
        np.exp(leaf(1.0))
    with pytest.raises(TypeError):
        np.add(np.ones(1), leaf(1.0))


def test_copies_are_independent():
    x = leaf(1.0, 2.0)
    x.name = "F6.weight"
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (other.requires_grad, other.name) == (True, "F6.weight")
        (other * other).sum().backward()
        other.data[0] = 5.0
        assert x.grad is None
        assert x.numpy().tolist() == [1.0, 2.0]


# ------------------------------------------------------------------------------------ operators


def test_operators_compute_as_numpy_does():
    a, b = np.array([[1.5, -2.0], [3.0, 4.0]]), np.array([2.0, 0.5])
    x, y = Tensor(a), Tensor(b)
    for ours, numpys in [
        (x + y, a + b),
        (x - y, a - b),
        (x * y, a * b),
        (x / y, a / b),
        (x @ y, a @ b),
        (x**2, a**2),
        (-x, -a),
        (abs(x), abs(a)),
        (x.abs(), abs(a)),
        (x.exp(), np.exp(a)),
        (x.abs().log(), np.log(abs(a))),
        (x.abs().sqrt(), np.sqrt(abs(a))),
        (x.sum(), a.sum()),
        (x.sum(0), a.sum(0)),
        (x.mean(-1, keepdims=True), a.mean(-1, keepdims=True)),
        (x.T, a.T),
        (x.transpose(1, 0), a.T),
        (x.transpose((1, 0)), a.T),
        (x.reshape(4), a.reshape(4)),
        (x.reshape((1, -1)), a.reshape(1, 4)),
        (x.flatten(), a.reshape(4)),
        (x[:, 1], a[:, 1]),
        (x[Tensor([1, 1])], a[[1, 1]]),
        (1 - x, 1 - a),
        (1 + x, 1 + a),
        (2 * x, 2 * a),
        (2 / x, 2 / a),
        (a - y, a - b),
        (a + y, a + b),
        (a * y, a * b),
        (a / y, a / b),
        (a @ y, a @ b),
    ]:
        assert isinstance(ours, Tensor)
        np.testing.assert_allclose(ours.numpy(), numpys, rtol=1e-15)
        assert ours.array.flags.c_contiguous


@pytest.mark.parametrize("number", [2, 2.0, True, np.float64(2.0), np.float32(2.0), np.int64(2)])
def test_a_number_takes_the_tensors_dtype(number):
    for dtype in (np.float32, np.float64):
        x = Tensor(np.ones(2, dtype))
        for result in (x + number, number + x, x * number, number - x, x / number, number / x):
            assert result.dtype == dtype


def test_nothing_is_promoted_silently():
    with pytest.raises(DTypeError, match="add: all arrays must have one dtype, got a float32, b float64"):
        Tensor([1.0]) + np.array([1.0])
    assert (Tensor([1.0]).astype(np.float64) + np.array([1.0])).dtype == np.float64
    with pytest.raises(DTypeError, match="astype: dtype must be float32 or float64, got int64"):
        Tensor([1.0]).astype(np.int64)


def test_astype_returns_the_gradient_in_the_inputs_own_precision():
    x = leaf(1.0, 2.0, dtype=np.float32)
    (x.astype(np.float64) * np.array([0.1, 0.2])).sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), np.float32([0.1, 0.2]))
    assert Tensor([1, 2]).astype(np.float32).dtype == np.float32


def test_tensors_of_integers_can_be_moved_about():
    labels = Tensor(np.arange(6))
    for moved in (labels[1:3], labels.reshape(2, 3), labels.reshape(2, 3).T, labels.flatten()):
        assert moved.dtype == np.int64
    assert [int(label) for label in labels] == list(range(6))


def test_infinity_and_nan_are_values_not_warnings():
    with np.errstate(all="raise"):
        x = leaf(-1.0, 0.0, 1e300)
        for function in (
            F.log,
            F.sqrt,
            F.exp,
            lambda t: t / 0.0,
            lambda t: 1 / t,
            lambda t: t * t * t,
            lambda t: t**-2,
        ):
            function(x).sum().backward()
        (x - x / 0.0 + x / 0.0).mean().backward()
        F.matmul(x, x * 1e300).backward()
        (x * 1e30).astype(np.float32).sum().backward()
    assert not np.isfinite(x.grad.numpy()).all()


def test_gradients_of_the_kinks():
    for function, expected in [
        (F.abs, [-1.0, 0.0, 1.0]),
        (lambda t: t**0, [0.0, 0.0, 0.0]),
        (lambda t: t**1, [1.0, 1.0, 1.0]),
        (lambda t: t**2, [-4.0, 0.0, 6.0]),
    ]:
        x = leaf(-2.0, 0.0, 3.0)
        function(x).sum().backward()
        assert grad(x) == expected


# ------------------------------------------------------------------------------------ what flows where


def test_gradients_accumulate_until_zeroed():
    x = leaf(1.0, 2.0)
    for times in (1, 2, 3):
        (x * 3.0).sum().backward()
        assert grad(x) == [3.0 * times] * 2
    x.zero_grad()
    assert x.grad is None


def test_a_tensor_used_twice_sums_its_gradients():
    x = leaf(1.0, 2.0)
    (x * x + 3.0 * x).sum().backward()
    assert grad(x) == [5.0, 7.0]


def test_the_same_tensor_as_both_operands():
    a = np.array([[2.0, 3.0], [5.0, 7.0]])
    for function, expected in [
        (lambda t: t + t, 2 * np.ones((2, 2))),
        (lambda t: t - t, np.zeros((2, 2))),
        (lambda t: t * t, 2 * a),
        (lambda t: t / t, np.zeros((2, 2))),
        (lambda t: t @ t, np.ones((2, 2)) @ a.T + a.T @ np.ones((2, 2))),
        (lambda t: F.concat([t, t, t]), 3 * np.ones((2, 2))),
    ]:
        x = Tensor(a, requires_grad=True)
        function(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), expected)


def test_diamonds():
    x = leaf(2.0)
    y = x
    for _ in range(20):  # 2**20 paths, 40 ops
        left, right = y * 0.5, y * 0.5
        y = left + right
    y.backward()
    assert grad(x) == [1.0]


def test_a_sum_grows_only_where_nobody_else_sees_it():
    """z's gradient is one array: given to both x and y by add, it must not grow when x gets more."""
    a, b = leaf(1.0), leaf(1.0)
    x, y = a * 1.0, b * 1.0
    early = x * 10.0
    z = x + y
    ((z + early) + (z * 2.0 + z * 3.0)).backward()
    assert grad(a) == [16.0]
    assert grad(b) == [6.0]


def test_many_flows_into_the_middle():
    x = leaf(1.0, 2.0)
    middle = x * 1.0
    parts = [middle + float(i) for i in range(5)] + [middle * float(i) for i in range(5)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    total.sum().backward()
    assert grad(x) == [15.0, 15.0]


def test_only_what_needs_a_gradient_gets_one():
    x, frozen = leaf(1.0), Tensor(np.array([2.0]))
    out = x * frozen + frozen * 3.0
    out.backward()
    assert grad(x) == [2.0]
    assert frozen.grad is None
    assert not (frozen * 3.0).requires_grad
    assert needs_grad(x, None)
    assert not needs_grad(frozen, None)


def test_a_path_that_was_not_used_is_not_needed():
    x = leaf(1.0, 2.0)
    unused = x.exp()
    (x * 2.0)[0].backward()
    assert grad(x) == [2.0, 0.0]
    unused.sum().backward()
    np.testing.assert_allclose(grad(x), [2.0 + np.e, np.exp(2.0)])


def test_the_seed():
    x = leaf(1.0, 2.0)
    (x * 2.0).backward([1.0, 10.0])
    (x * 2.0).backward(Tensor(np.array([0.0, 0.5])))
    (x * 2.0).backward(np.array([1, 1]))
    assert grad(x) == [4.0, 23.0]
    x.zero_grad()
    x.backward(np.ones(2))  # a leaf is its own root
    x.backward(np.ones(2))
    assert grad(x) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("seed", "error", "text"),
    [
        (None, ShapeError, r"grad must be given for a tensor of shape \(2,\)"),
        ([1.0], ShapeError, r"grad must have shape \(2,\), got \(1,\)"),
        ([[1.0, 1.0]], ShapeError, r"grad must have shape \(2,\), got \(1, 2\)"),
        ([1j, 1.0], DTypeError, "grad must hold real numbers, got dtype complex128"),
        (["a", "b"], DTypeError, "grad must hold real numbers"),
    ],
)
def test_seeds_that_do_not_fit(seed, error, text):
    with pytest.raises(error, match=text):
        (leaf(1.0, 2.0) * 2.0).backward(seed)


def test_leaf_gradients_share_memory_with_nothing():
    x, y, z = leaf(1.0, 2.0), leaf(3.0, 4.0), leaf(5.0, 6.0)
    seed = np.ones(2)
    out = x + y + z.reshape(2, 1).reshape(2) - (-x) + F.concat([y[:1], y[1:]])
    kept = x + y
    kept.retain_grad()
    (out + kept).backward(seed)
    arrays = [seed, *(t.grad.array for t in (x, y, z, kept)), *(t.array for t in (x, y, z, out, kept))]
    for i, one in enumerate(arrays):
        for other in arrays[:i]:
            assert not np.shares_memory(one, other)
    x.grad.data[:] = 99.0
    assert (grad(y), grad(z), grad(kept)) == ([3.0, 3.0], [1.0, 1.0], [1.0, 1.0])
    x.zero_grad()
    x.backward(seed)
    x.grad.data[:] = 99.0
    assert seed.tolist() == [1.0, 1.0]


def test_only_what_others_hold_too_is_copied_for_a_leaf():
    places = []

    def address(array):
        places.append(array.__array_interface__["data"][0])
        return array

    kept = np.ones(2)
    ways = {
        "new": lambda grad_out: address(grad_out * 1.0),
        "a view of what is new": lambda grad_out: address((grad_out * 1.0).reshape(1, 2)).reshape(2),
        "a part of what is new": lambda grad_out: address(np.ones(9)[:2]),
        "held": lambda grad_out: address(kept.reshape(1, 2)).reshape(2),
        "grad_out itself": lambda grad_out: address(grad_out),
    }
    copied = {}
    for name, gradient in ways.items():
        x = leaf(1.0, 2.0)
        record("op", x.array * 1.0, (x, gradient)).backward(np.ones(2))
        assert grad(x) == [1.0, 1.0]
        copied[name] = x.grad.array.__array_interface__["data"][0] != places.pop()
    assert list(copied.values()) == [False, False, True, True, True]


def test_one_array_that_reaches_several_tensors_is_copied_for_each():
    a, b, c, d = leaves = [leaf(1.0, 2.0) for _ in range(4)]
    ((a + b) + (c.flatten() + d.reshape(2, 1).flatten())).backward(np.ones(2))
    middle = [leaf(1.0, 2.0) * 1.0 for _ in range(2)]
    for tensor in middle:
        tensor.retain_grad()
    (middle[0] + middle[1]).backward(np.ones(2))
    for those in (leaves, middle):
        for i, one in enumerate(those):
            one.grad.data[:] = 99.0
            for other in those[i + 1 :]:
                assert grad(other) == [1.0, 1.0]


def test_an_element_taken_twice_sums_its_gradients():
    x = leaf(1.0, 2.0, 3.0)
    (x[[0, 0, 2]] * np.array([1.0, 10.0, 100.0])).sum().backward()
    x[x.numpy() > 1.5].sum().backward()
    x[1:].sum().backward()
    assert grad(x) == [11.0, 2.0, 102.0]


def test_gradients_that_do_not_fit_are_refused():
    x = leaf(1.0, 2.0)
    for wrong in (np.ones(3), np.ones((2, 1)), np.ones(2, np.float32), 1.0):
        out = record("bad", x.array + 1, (x, lambda grad_out, wrong=wrong: wrong))
        with pytest.raises(GraphError, match=r"gradient that bad gives .* must be float64 of shape \(2,\), got"):
            out.sum().backward()


def test_gradient_functions_get_contiguous_arrays():
    seen = []
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    out = record("look", x.array * 1, (x, lambda grad_out: seen.append(grad_out.flags) or grad_out))
    (out.T * Tensor(np.ones((3, 2)))).sum().backward()
    assert seen[0].c_contiguous


# ------------------------------------------------------------------------------------ memory


def test_saved_arrays_are_freed_after_backward():
    x = leaf(*np.ones(1000))
    middle = x.exp()
    out = (middle * middle).sum()
    saved = weakref.ref(middle.array)
    del middle
    gc.collect()
    assert saved() is not None
    out.backward()
    assert saved() is None  # at once: no cycle keeps it
    assert out.item() > 0


def test_a_graph_that_is_dropped_is_freed_without_the_collector():
    x = leaf(1.0)
    gc.disable()
    try:
        out = (x.exp() * 2.0).log()
        seen = weakref.ref(out.node.pairs[0][0].array)
        del out
        assert seen() is None
    finally:
        gc.enable()


def test_no_grad_saves_nothing():
    x = leaf(1.0)
    with minicnn.no_grad():
        middle = x.exp()
        seen = weakref.ref(middle.array)
        out = middle * middle
        del middle
    assert seen() is None
    assert out.is_leaf


def test_what_frozen_inputs_would_have_needed_is_not_saved():
    x = leaf(1.0)
    big = Tensor(np.ones(1000))
    scaled = big * 2.0
    seen = weakref.ref(scaled.array)
    out = scaled + x
    del scaled
    assert seen() is None
    assert out.requires_grad


def test_second_backward_is_an_error():
    x = leaf(2.0)
    out = x * x
    out.backward()
    with pytest.raises(GraphError, match="mul was walked through before and its saved arrays are freed"):
        out.backward()
    assert grad(x) == [4.0]


def test_second_backward_through_a_shared_part_leaves_the_gradients_alone():
    x = leaf(2.0)
    trunk = x * x
    first, second = trunk * 2.0, trunk * 3.0
    first.backward()
    with pytest.raises(GraphError, match="mul was walked through before"):
        second.backward()
    assert grad(x) == [8.0]


def test_backward_of_what_was_not_recorded():
    for out in (Tensor(np.ones(1)), Tensor(np.ones(1)) * 2.0, leaf(1.0).detach()):
        with pytest.raises(GraphError, match="nothing was recorded"):
            out.backward()


# ------------------------------------------------------------------------------------ changed in place


def data_before(x):
    handle = x.data
    return lambda: handle.__setitem__(0, 9.0)


def view_of_data_before(x):
    handle = x.data.reshape(-1, 1)[:1]
    return lambda: handle.fill(9.0)


def data_after(x):
    return lambda: x.data.__setitem__(0, 9.0)


def data_plus_equals(x):
    def change():
        x.data += 1.0

    return change


def like_an_optimiser(x):
    def change():
        with x.changing() as array:
            array -= 0.1

    return change


def setitem(x):
    def change():
        with minicnn.no_grad():
            x[0] = 9.0

    return change


def through_detach(x):
    twin = x.detach()
    return lambda: twin.__setitem__(0, 9.0)


def through_data_of_detach(x):
    return lambda: x.detach().data.fill(9.0)


def through_reshape(x):
    with minicnn.no_grad():
        twin = x.reshape(1, -1).flatten()
    return lambda: twin.data.fill(9.0)


def numpys_out(x):
    return lambda: np.multiply(x.numpy(), 2.0, out=x.data)


ONE = np.ones((1, 1, 1, 1))


def row(x):
    """As an image of one row."""
    return x.reshape(1, 1, 1, 2)


WAYS = [
    data_before,
    view_of_data_before,
    data_after,
    data_plus_equals,
    like_an_optimiser,
    setitem,
    through_detach,
    through_data_of_detach,
    through_reshape,
    numpys_out,
]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@every_way
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * x,
        lambda x: F.matmul(x, x),
        lambda x: x.reshape(-1, 1) @ np.ones((1, 2)) * x.reshape(-1, 1),
        F.log,
        F.abs,
        lambda x: x**3,
        lambda x: 2.0 / x,
        lambda x: x.flatten() * x.detach(),
    ],
)
def test_a_saved_input_changed_in_place_is_an_error(way, function):
    x = leaf(1.0, 2.0)
    change = way(x)
    out = function(x)
    change()
    with pytest.raises(GraphError, match=r"an array of shape .* saved for its gradient was changed in place"):
        out.sum().backward()
    assert x.grad is None


@every_way
@pytest.mark.parametrize(
    "function",
    [F.exp, F.sqrt, lambda x: F.conv2d(np.ones((1, 1, 1, 2)), ONE, residual=row(x), activation="relu").reshape(2)],
)
def test_a_saved_output_changed_in_place_is_an_error(way, function):
    x = leaf(1.0, 2.0)
    out = function(x)
    change = way(out)
    total = out.sum()
    change()
    with pytest.raises(GraphError, match="changed in place"):
        total.backward()


@every_way
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x,
        lambda x: x - 1.0,
        lambda x: -x,
        lambda x: x * 3.0,
        lambda x: x / 3.0,
        lambda x: x @ np.ones((2, 2)),
        F.exp,
        F.sqrt,
        F.mean,
        lambda x: F.conv2d(row(x), ONE, residual=row(x)),
        lambda x: F.conv2d(row(x), ONE, residual=row(x), activation="relu6"),
        lambda x: x[1:],
        lambda x: x.reshape(2, 1).T.flatten(),
        lambda x: F.concat([x, x]),
        lambda x: x.astype(np.float32),
    ],
)
def test_no_false_alarm_for_inputs_that_were_not_saved(way, function):
    x, y = leaf(1.0, 2.0), leaf(1.0, 2.0)
    change = way(x)
    out = function(x)
    change()
    out.sum().backward()
    function(y).sum().backward()
    assert grad(x) == grad(y)


@every_way
def test_no_false_alarm_after_backward_or_before_saving(way):
    x = leaf(1.0, 2.0)
    change = way(x)
    (x * x).sum().backward()
    change()
    x.zero_grad()
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())
    change()


def test_looking_at_data_is_no_change():
    x = leaf(1.0, 2.0)
    out = x * x
    assert x.data.sum() == 3.0
    half = x.data[:1]
    out = out + x * x
    assert half.sum() == 1.0
    out.sum().backward()
    assert grad(x) == [4.0, 8.0]


def test_a_changed_neighbour_of_another_tensor_is_no_alarm():
    x = leaf(1.0, 2.0)
    part = x[:1]  # a copy
    out = part * part
    x.data[0] = 9.0
    out.backward()
    assert grad(x) == [2.0, 0.0]


def test_a_new_array_as_data_is_no_change_in_place():
    x = leaf(1.0, 2.0)
    out = (x * x).sum()
    x.data = np.array([5.0, 6.0])
    out.backward()
    assert grad(x) == [2.0, 4.0]
    assert (x * x).numpy().tolist() == [25.0, 36.0]
    out = (x * x).sum()
    x.data = np.array([1.0, 1.0])
    with x.changing() as array:  # is not what the graph saved
        array += 1.0
    out.backward()
    assert grad(x) == [12.0, 16.0]
    source = np.array([7, 8])
    x.data = source
    source[0] = 0
    assert (x.dtype, x.numpy().tolist()) == (np.float64, [7.0, 8.0])


def test_plus_equals_on_a_tensor_makes_a_new_one():
    x = y = leaf(1.0, 2.0)
    out = x * x
    y += 1.0
    assert y is not x
    out.sum().backward()
    assert grad(x) == [2.0, 4.0]


def test_writing_to_a_tensor_that_needs_a_gradient():
    x = leaf(1.0, 2.0)
    for tensor in (x, x * 2.0):
        with pytest.raises(GraphError, match="setitem: a tensor that needs a gradient cannot be written to"):
            tensor[0] = 5.0
    plain = Tensor(np.zeros((2, 2)))
    plain[0] = Tensor(np.array([1.0, 2.0]))
    plain[Tensor([1]), 0] = 3
    assert plain.numpy().tolist() == [[1.0, 2.0], [3.0, 0.0]]
    with pytest.raises(OutOfRangeError, match=r"setitem: the index must fit the shape \(2, 2\), got index 2"):
        plain[2] = 1.0
    with pytest.raises(ShapeError, match="setitem: the value must fit"):
        plain[0] = np.ones(3)


def test_raw_arrays_may_change_after_the_call():
    w = leaf(1.0, 2.0)
    raw, index = np.array([3.0, 4.0]), np.array([0, 1])
    out = ((w * raw) + raw / w)[index]
    raw[:] = 99.0
    index[:] = 0
    out.sum().backward()
    assert grad(w) == [3.0 - 3.0 / 1.0, 4.0 - 4.0 / 4.0]


def test_results_inside_no_grad_do_not_live_on_the_callers_memory():
    raw, index = np.array([3.0, 4.0]), np.array([0, 1])
    with minicnn.no_grad():
        made = [F.reshape(raw, 2), F.flatten(raw), F.transpose(raw), F.getitem(raw, index), F.concat([raw])]
        made += [F.astype(raw, np.float64), F.abs(raw), F.add(raw, 0.0), F.pow(raw, 1), F.sum(raw, ())]
    raw[:] = 99.0
    for tensor in made:
        assert tensor.numpy().tolist() == [3.0, 4.0]


def test_saved_arrays_are_found_wherever_a_gradient_function_keeps_them():
    def through_a_helper(x):
        values = x.array

        def helper(grad_out):
            return grad_out * values

        return record("op", x.array**2 / 2, (x, lambda grad_out: helper(grad_out)))

    def in_a_tuple(x):
        saved = (x.array, None)
        return record("op", x.array**2 / 2, (x, lambda grad_out: grad_out * saved[0]))

    def as_a_view(x):
        flat = x.array.reshape(-1, 1)
        return record("op", x.array**2 / 2, (x, lambda grad_out: (grad_out[:, None] * flat)[:, 0]))

    for op in (through_a_helper, in_a_tuple, as_a_view):
        x = leaf(1.0, 2.0)
        op(x).sum().backward()
        assert grad(x) == [1.0, 2.0]
        out = op(x).sum()
        x.data[0] = 5.0
        with pytest.raises(GraphError, match="changed in place"):
            out.backward()


def test_empty_arrays_can_be_watched():
    x = Tensor(np.ones((0, 3)), requires_grad=True)
    assert x.data.size == 0
    (x * x).sum().backward()
    assert x.grad.shape == (0, 3)


# ------------------------------------------------------------------------------------ deep graphs


@pytest.mark.parametrize("depth", [10_000, 200_000])
def test_deep_chains(depth):
    x = leaf(1.0)
    factor = np.array([1.0])

    def chain():
        y = x
        for _ in range(depth // 2):
            y = record("copy", y.array * factor, (y, lambda grad_out: grad_out * factor))
            y = record("view", y.array.reshape(1), (y, lambda grad_out: grad_out), block=y._block)
        return y

    chain().backward()
    assert grad(x) == [1.0]
    unused = chain()
    del unused  # freeing it must not recurse either
    gc.collect()


def test_deep_chain_of_operators():
    x = leaf(1.0)
    y = x
    for i in range(10_000):
        y = y * 0.5 if i % 2 else y + y
    y.backward()
    assert grad(x) == [1.0]


def test_wide_graphs():
    x = leaf(1.0)
    total = x * 0.0
    for part in [x * 1.0 for _ in range(2000)]:
        total = total + part
    total.backward()
    assert grad(x) == [2000.0]


# ------------------------------------------------------------------------------------ no_grad, threads


def test_no_grad_nests_and_survives_exceptions():
    x = leaf(1.0)
    with minicnn.no_grad():
        with minicnn.no_grad():
            assert not (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
        with pytest.raises(ZeroDivisionError), minicnn.no_grad():
            1 / 0  # noqa: B018
        assert not (x * 2.0).requires_grad
    with pytest.raises(ZeroDivisionError), minicnn.no_grad():
        1 / 0  # noqa: B018
    assert (x * 2.0).requires_grad

    @minicnn.no_grad()
    def evaluate():
        return x * 2.0

    assert not evaluate().requires_grad
    assert not evaluate().requires_grad
    assert (x * 2.0).requires_grad


def test_backward_works_inside_no_grad():
    x = leaf(3.0)
    out = x * x
    with minicnn.no_grad():
        out.backward()
    assert grad(x) == [6.0]
    assert not x.grad.requires_grad


def test_a_tensor_made_inside_no_grad_is_a_constant():
    x = leaf(3.0)
    with minicnn.no_grad():
        constant = x * x
    (constant * x).backward()
    assert grad(x) == [9.0]


def test_recording_is_each_threads_own():
    x = leaf(1.0)
    inside, done = threading.Event(), threading.Event()
    seen = {}

    def other():
        inside.wait(10)
        seen["other"] = (x * 2.0).requires_grad
        with minicnn.no_grad():
            done.set()
            seen["quiet"] = (x * 2.0).requires_grad

    thread = threading.Thread(target=other)
    thread.start()
    with minicnn.no_grad():
        inside.set()
        assert done.wait(10)
        seen["main"] = (x * 2.0).requires_grad
    seen["after"] = (x * 2.0).requires_grad
    thread.join()
    assert seen == {"other": True, "quiet": False, "main": False, "after": True}


def test_threads_build_and_walk_graphs_at_the_same_time():
    """Ages must be unique and grow along every graph, also where parts were made in several threads."""
    shared = leaf(1.0)
    results, parts = [], []

    def work(seed):
        x = leaf(float(seed))
        y = shared * 1.0
        for i in range(500):
            x_or_y = x if i % 2 else x * 1.0
            y = y + x_or_y
        parts.append(y)
        z = x * 0.0
        for _ in range(500):
            z = z + x
        z.backward()
        results.append((grad(x), seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [g for g, _ in results] == [[500.0]] * 4
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    total.backward()
    assert grad(shared) == [4.0]


# ------------------------------------------------------------------------------------ retain_grad, detach


def test_retain_grad():
    x = leaf(1.0, 2.0)
    middle = x * 2.0
    forgotten = middle * 3.0
    out = (forgotten + middle).sum()
    middle.retain_grad()
    out.retain_grad()
    x.retain_grad()  # leaves keep theirs anyway
    out.backward()
    assert grad(middle) == [4.0, 4.0]
    assert grad(out) == 1.0
    assert grad(x) == [8.0, 8.0]
    assert forgotten.grad is None
    with pytest.raises(GraphError, match="retain_grad"):
        Tensor([1.0]).retain_grad()


def test_detach_shares_memory_and_stops_gradients():
    x = leaf(1.0, 2.0)
    middle = x * 2.0
    cut = middle.detach()
    assert np.shares_memory(cut.array, middle.array)
    assert not cut.requires_grad
    (cut * x).sum().backward()
    assert grad(x) == [2.0, 4.0]
    with cut.changing() as array:
        array[0] = 7.0
    assert middle.numpy()[0] == 7.0


def test_views_share_memory():
    x = Tensor(np.arange(6.0))
    assert np.shares_memory(x.reshape(2, 3).array, x.array)
    assert np.shares_memory(x.flatten().array, x.array)
    for copied in (x[1:], x[:], x.reshape(2, 3).T, x.transpose(), x.astype(np.float64), F.concat([x])):
        assert not np.shares_memory(copied.array, x.array)


# ------------------------------------------------------------------------------------ random graphs

UNARY = {
    "exp": lambda a: F.exp(-(a * a)),
    "log": lambda a: F.log(a * a + 2.0),
    "sqrt": lambda a: F.sqrt(a * a + 1.0),
    "pow": lambda a: (a * a + 1.0) ** -1.5,
    "neg": F.neg,
    "transpose": lambda a: a.T,
    "reshape": lambda a: a.flatten().reshape(2, 2),
    "row": lambda a: a[1] * a[:, None, 0] + a,
    "twice": lambda a: a[[1, 1]],
    "mean": lambda a: a - a.mean(0, keepdims=True),
    "sum": lambda a: a.sum() * 0.1 + a.sum(1) + a,
}
BINARY = {
    "add": F.add,
    "sub": F.sub,
    "mul": lambda a, b: a * b * 0.5,
    "div": lambda a, b: a / (b * b + 1.0),
    "matmul": lambda a, b: a @ b * 0.5,
    "concat": lambda a, b: F.concat([a[:1], b[1:]]),
}
steps = st.tuples(st.sampled_from([*UNARY, *BINARY]), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(steps, min_size=1, max_size=8), st.integers(0, 1000))
def test_random_graphs(program, seed):
    """Each step takes what earlier steps made: fans, diamonds and dead ends of every form."""

    def run(**inputs):
        made = list(inputs.values())
        for op, i, j in program:
            a, b = made[i % len(made)], made[j % len(made)]
            made.append(UNARY[op](a) if op in UNARY else BINARY[op](a, b))
        return made[-1] + made[-2] * 0.5

    rng = np.random.default_rng(seed)
    gradcheck(run, {"x": rng.uniform(-1, 1, (2, 2)), "y": rng.uniform(-1, 1, (2, 2))}, seed=seed, step=1e-3)


# ------------------------------------------------------------------------------------------- what a Tensor refuses


@pytest.mark.parametrize(
    ("what", "error", "text"),
    [
        (lambda x: Tensor(x, np.float64), OptionError, r"requires_grad must be True or False, got <class"),
        (lambda x: x.sum(0).backward([[1.0], [1.0, 2.0]]), ShapeError, "backward: grad must be rectangular"),
        (lambda x: x.sum(0).backward(np.ma.ones(3)), DTypeError, "backward: grad is a masked array"),
        (
            lambda x: setattr(x, "data", np.ones(3)),
            ShapeError,
            r"data: the new array must have shape \(2, 3\), got \(3,\)",
        ),
        (
            lambda x: setattr(x, "data", None),
            DTypeError,
            "data: the new array must hold real numbers, got dtype object",
        ),
        (lambda x: setattr(x, "data", "abc"), DTypeError, "data: the new array must hold real numbers, got dtype <U3"),
        (lambda x: x.detach().__setitem__(0, None), DTypeError, "setitem: the value must hold real numbers"),
        (lambda x: x.detach().__setitem__(0, 1j), DTypeError, "setitem: the value must hold real numbers"),
        (lambda x: Tensor(np.zeros(2, np.uint8)).__setitem__(0, 300), ShapeError, "fit its place in the uint8 tensor"),
        (lambda x: x.astype("x"), DTypeError, "astype: dtype must be float32 or float64, got 'x'"),
        (lambda x: x.astype(None), DTypeError, "astype: dtype must be float32 or float64, got None"),
        (lambda x: x == 1, DTypeError, r"compare their \.numpy"),
        (lambda x: x != np.ones((2, 3)), DTypeError, r"compare their \.numpy"),
    ],
)
def test_what_a_tensor_refuses(what, error, text):
    with pytest.raises(error, match=text):
        what(leaf([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]))


def test_a_tensor_equals_itself_alone():
    x, y = leaf(1.0), leaf(1.0)
    assert x == x
    assert x != None  # noqa: E711 - `grad == None` is what many write
    assert x not in ([], "x")
    assert {x: 1, y: 2}[y] == 2


def test_overflow_is_infinity_without_a_warning():
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    x.sum().backward(1e300)
    assert np.isinf(x.grad.numpy()).all()
    with minicnn.no_grad():
        x[0] = 1e300
    assert np.isinf(x.numpy()).tolist() == [True, False]
