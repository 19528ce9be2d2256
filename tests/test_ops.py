"""The battery: every op of tests/cases, every promise that an op makes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from cases import Call, Case, all_cases
from minicnn.kernels import jit
from minicnn.testing import gradcheck, pull_back

CASES = all_cases()
every_op = pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
every_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
# float32 sums of a few hundred terms differ by their order; the bound is relative to the largest value.
TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}


def bind(case: Case, call: Call):
    """The call as a function of its differentiable inputs alone."""
    return lambda **inputs: case(**inputs, **call.options)


def forward(case: Case, call: Call) -> np.ndarray:
    return bind(case, call)(**call.inputs).numpy()


def both_ways(case: Case, call: Call, seed: int = 1) -> dict[str, np.ndarray]:
    """The output and every gradient, for a random cotangent, by name."""
    out = forward(case, call)
    cotangent = np.random.default_rng(seed).standard_normal(out.shape).astype(out.dtype)
    out, grads = pull_back(bind(case, call), call.inputs, cotangent)
    return {"out": out, **{f"grad of {name}": grad for name, grad in grads.items()}}


def assert_close(comp: dict, ref: dict, tolerance: float) -> None:
    for name, expected in ref.items():
        scale = max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(comp[name], expected, rtol=0, atol=tolerance * scale, err_msg=name)


@every_op
def test_worked_by_hand(case):
    assert case.by_hand, "an op without an example by hand"
    for call, expected in case.by_hand:
        for kernels in ("fast", "reference"):
            with minicnn.using_kernels(kernels):
                np.testing.assert_allclose(forward(case, call), expected, rtol=1e-12, atol=1e-12)


@every_op
@every_dtype
@given(st.data())
def test_twins_agree(case, dtype, data):
    call = data.draw(case.calls).astype(dtype)
    comp = both_ways(case, call)
    with minicnn.using_kernels("reference"):
        ref = both_ways(case, call.astype(np.float64))
    assert_close(comp, ref, TOLERANCE[dtype])
    assert all(array.dtype == dtype for array in comp.values())


@every_op
@given(st.data())
def test_gradient(case, data):
    call = data.draw(case.calls)
    gradcheck(bind(case, call), call.inputs, seed=data.draw(st.integers(0, 1000), label="seed"))


@every_op
@given(st.data())
def test_adjoint(case, data):
    """<A x, u> = <x, A' u>: the gradient of a linear op is its transpose, to rounding."""
    call = data.draw(case.calls)
    if call.options.get("activation"):  # on the way out: what the op was linear in, it is no more
        return
    for name in case.linear_in:
        if name not in call.inputs:
            continue
        others = {key: array for key, array in call.inputs.items() if key != name}

        def apply(_others=others, _name=name, **x):
            at_zero = {_name: np.zeros_like(call.inputs[_name])}
            return case(**x, **_others, **call.options) - case(**at_zero, **_others, **call.options)

        x = call.inputs[name]
        u = np.random.default_rng(2).standard_normal(apply(**{name: x}).shape)
        out, grads = pull_back(apply, {name: x}, u)
        left, right = np.sum(out * u), np.sum(x * grads[name])
        assert abs(left - right) <= 1e-11 * max(1.0, np.abs(out).sum() * np.abs(u).max(initial=0)), name


def awkward(array: np.ndarray, how: str) -> np.ndarray:
    """The same numbers in another memory layout."""
    if how == "strided":
        wide = np.repeat(array, 2, axis=-1) if array.ndim else array
        return wide[..., ::2] if array.ndim else wide
    if how == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1] if array.ndim else array
    if how == "fortran":
        return np.asfortranarray(array)
    if how == "big-endian":
        return array.astype(array.dtype.newbyteorder(">"))
    if how == "misaligned":
        raw = bytearray(array.nbytes + 1)
        odd = np.frombuffer(raw, np.uint8, array.nbytes, 1).view(array.dtype).reshape(array.shape)
        odd[...] = array
        return odd
    frozen = array.copy()
    frozen.flags.writeable = False
    return frozen


@every_op
@pytest.mark.parametrize("how", ["strided", "reversed", "fortran", "big-endian", "misaligned", "read-only"])
@given(st.data())
def test_memory_layout_does_not_matter(case, how, data):
    call = data.draw(case.calls)
    odd = Call({name: awkward(array, how) for name, array in call.inputs.items()}, call.options)
    plain, with_record = forward(case, call), bind(case, odd)(**odd.inputs).numpy()
    np.testing.assert_array_equal(with_record, plain)
    with minicnn.no_grad():
        np.testing.assert_array_equal(forward(case, odd), plain)


@every_op
@given(st.data())
def test_arguments_are_not_changed(case, data):
    call = data.draw(case.calls)
    before = {name: array.copy() for name, array in call.inputs.items()}
    out = forward(case, call)
    cotangent = np.ones_like(out)
    tensors = {name: minicnn.Tensor(array, requires_grad=True) for name, array in call.inputs.items()}
    case(**tensors, **call.options).backward(cotangent)
    with minicnn.no_grad():  # arrays are shared, not copied, here
        forward(case, call)
    for name, array in before.items():
        np.testing.assert_array_equal(call.inputs[name], array, err_msg=name)
        np.testing.assert_array_equal(tensors[name].numpy(), array, err_msg=name)
    assert (cotangent == 1).all()


@every_op
@given(st.data())
def test_threads_do_not_change_a_bit(case, data):
    call = data.draw(case.calls).astype(np.float32)
    results = []
    threads, worth = jit.get_num_threads(), jit.WORTH_A_THREAD
    try:
        jit.WORTH_A_THREAD = 1  # so that even these small calls are split
        for n in (1, 2, 3):
            jit.set_num_threads(n)
            results.append(both_ways(case, call))
    finally:
        jit.WORTH_A_THREAD = worth
        jit.set_num_threads(threads)
    for other in results[1:]:
        for name, array in results[0].items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)


@every_op
@given(st.data())
def test_empty_batch(case, data):
    call = data.draw(case.calls)
    if not case.batched:
        return
    empty = Call({n: a[:0] if n in case.batched else a for n, a in call.inputs.items()}, call.options)
    full = forward(case, call)
    result = both_ways(case, empty)
    assert result["out"].shape == (0, *full.shape[1:])
    for name, array in empty.inputs.items():
        grad = result[f"grad of {name}"]
        assert grad.shape == array.shape
        assert not grad.any()


@every_op
def test_errors_say_op_rule_and_values(case):
    assert case.refused, "an op without a refused call"
    for arguments, error, text in case.refused:
        with pytest.raises(error, match=text) as caught:
            case(**arguments)
        assert isinstance(caught.value, minicnn.errors.MiniCNNError)
        assert str(caught.value).startswith(f"{case.op}: ")
