"""The checker, checked: it must pass what is right and catch every kind of mistake that people make."""

import numpy as np
import pytest
from hypothesis import find, settings

from cases import two_arrays
from minicnn.autograd import record
from minicnn.errors import DTypeError, GraphError
from minicnn.testing import gradcheck, pull_back

A = np.random.default_rng(0).standard_normal((4, 4))
B = np.random.default_rng(1).standard_normal((4, 4))


def product(grad_a=lambda g, a, b: g @ b.T, grad_b=lambda g, a, b: a.T @ g):
    """A matrix product whose gradients may be wrong."""

    def op(a, b):
        p, q = a.array, b.array
        return record("product", p @ q, (a, lambda g: grad_a(g, p, q)), (b, lambda g: grad_b(g, p, q)))

    return op


def softmax(gradient):
    def op(a):
        e = np.exp(a.array - a.array.max(-1, keepdims=True))
        out = e / e.sum(-1, keepdims=True)
        return record("softmax", out, (a, lambda g: gradient(g, out)))

    return op


def centre(gradient):
    """The outputs always sum to 0: a cotangent of ones would see nothing of the gradient."""

    def op(a):
        return record("centre", a.array - a.array.mean(), (a, gradient))

    return op


def only_at(place, wrong):
    def gradient(g, a, b):
        right = g @ b.T
        right[place] = wrong(right[place])
        return right

    return gradient


RIGHT = {
    "product": (product(), "ab"),
    "softmax": (softmax(lambda g, y: y * (g - (g * y).sum(-1, keepdims=True))), "a"),
    "centre": (centre(lambda g: g - g.mean()), "a"),
    "same input twice": (lambda a: product()(a, a), "a"),
    "constant": (lambda a: a * 0.0, "a"),
}
WRONG = {
    "factor": (product(grad_a=lambda g, a, b: 1.1 * (g @ b.T)), "ab"),
    "factor 2 in the second input": (product(grad_b=lambda g, a, b: 2 * (a.T @ g)), "ab"),
    "sign": (product(grad_a=lambda g, a, b: -(g @ b.T)), "ab"),
    "transposed": (product(grad_a=lambda g, a, b: g @ b), "ab"),
    "transposed twice": (product(grad_b=lambda g, a, b: (a.T @ g).T.copy()), "ab"),
    "missing": (product(grad_b=lambda g, a, b: 0 * b), "ab"),
    "swapped operands": (product(grad_a=lambda g, a, b: g @ a.T), "ab"),
    "one element of many": (product(grad_a=only_at((2, 3), lambda value: value + 0.1)), "ab"),
    "one element's sign": (product(grad_a=only_at((0, 0), lambda value: -value)), "ab"),
    "shifted": (product(grad_a=lambda g, a, b: np.roll(g @ b.T, 1, axis=1)), "ab"),
    "missing term": (softmax(lambda g, y: y * g), "a"),
    "diagonal only": (softmax(lambda g, y: g * y * (1 - y)), "a"),
    "sum over the wrong axis": (softmax(lambda g, y: y * (g - (g * y).sum(0, keepdims=True))), "a"),
    "blind to ones: identity": (centre(lambda g: g), "a"),
    "blind to ones: zero": (centre(lambda g: 0 * g), "a"),
    "not a number": (centre(lambda g: g * np.nan), "a"),
    "infinite": (centre(lambda g: g + np.inf), "a"),
}


def inputs(names):
    return {name: {"a": A, "b": B}[name] for name in names}


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name):
    op, names = RIGHT[name]
    for seed in range(30):
        assert gradcheck(op, inputs(names), seed=seed).relative_error < 1e-8


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_caught(name):
    op, names = WRONG[name]
    for seed in range(30):
        with pytest.raises(GraphError, match=r"gradcheck: the slope along a random direction must agree to 1e-06, got"):
            gradcheck(op, inputs(names), seed=seed)


def test_one_wrong_element_among_a_million_is_caught():
    def gradient(grad_out):
        wrong = grad_out * 2.0
        wrong[123_456] += 5.0
        return wrong

    def op(a):
        return record("double", a.array * 2.0, (a, gradient))

    with pytest.raises(GraphError, match="must agree"):
        gradcheck(op, {"a": np.zeros(1_000_000)})


def test_the_report_gives_the_numbers():
    report = gradcheck(lambda a: a * 3.0, {"a": A}, seed=3)
    assert report == gradcheck(lambda a: a * 3.0, {"a": A}, seed=3)
    assert report.numeric != gradcheck(lambda a: a * 3.0, {"a": A}, seed=4).numeric
    assert report.numeric == pytest.approx(report.analytic, rel=1e-9)
    with pytest.raises(GraphError, match=rf"got {report.numeric:.10g} by differences and {report.analytic / 3:.10g}"):
        gradcheck(lambda a: record("triple", a.array * 3.0, (a, lambda g: g)), {"a": A}, seed=3)


def test_the_tolerance_is_kept():
    op = product(grad_a=lambda g, a, b: 1.0001 * (g @ b.T))
    gradcheck(op, inputs("ab"), tolerance=1e-3)
    with pytest.raises(GraphError, match="must agree to 1e-05"):
        gradcheck(op, inputs("ab"), tolerance=1e-5)


def test_only_float64_has_the_digits():
    with pytest.raises(DTypeError, match=r"gradcheck: a must be float64 .* got float32"):
        gradcheck(lambda a: a, {"a": A.astype(np.float32)})


def test_an_output_that_is_not_finite_is_no_pass():
    with pytest.raises(GraphError, match="got nan by differences"):
        gradcheck(lambda a: a / 0.0, {"a": A})


def test_inputs_are_not_changed():
    before = A.copy()
    gradcheck(lambda a: a * a, {"a": A})
    np.testing.assert_array_equal(A, before)


def test_pull_back_gives_zeros_to_an_input_that_was_not_used():
    out, grads = pull_back(lambda a, b: a * 2.0, inputs("ab"), np.ones((4, 4)))
    np.testing.assert_array_equal(out, 2 * A)
    np.testing.assert_array_equal(grads["a"], 2 * np.ones((4, 4)))
    np.testing.assert_array_equal(grads["b"], np.zeros((4, 4)))


def test_a_failing_call_shrinks_to_one_that_can_be_checked_by_hand():
    """Broadcasting that forgets to sum shows with two elements, and Hypothesis finds just these, with values 1, 2."""

    def forgetful_add(a, b):
        size, shape = b.size, b.shape
        return record(
            "add",
            a.array + b.array,
            (a, lambda g: np.resize(g, a.shape)),
            (b, lambda g: g.reshape(-1)[:size].reshape(shape).copy()),
        )

    def fails(call):
        try:
            gradcheck(forgetful_add, call.inputs)
        except GraphError:
            return True
        return False

    smallest = find(two_arrays(), fails, settings=settings(max_examples=500, derandomize=True, database=None))
    sizes = sorted(array.size for array in smallest.inputs.values())
    assert sizes == [1, 2]
    for array in smallest.inputs.values():
        np.testing.assert_array_equal(array.reshape(-1), np.arange(1.0, array.size + 1))
