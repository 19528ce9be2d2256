"""The vector type, operation by operation, and the mathematics on it; on this machine's vectors and on others'."""

import operator
import os
import subprocess
import sys
from functools import cache

import numba
import numpy as np
import pytest

from minicnn.kernels import simd, vector_math
from minicnn.kernels.jit import FLAGS
from minicnn.kernels.simd import (
    bits,
    broadcast,
    counting,
    even,
    floats,
    fma,
    highest,
    lane,
    lanes,
    load,
    load_part,
    maximum,
    minimum,
    odd,
    peek,
    poke,
    prefetch,
    select,
    splat,
    sqrt,
    square,
    store,
    store_part,
    total,
    transpose,
    tuple_setitem,
    widen,
    zip_high,
    zip_low,
)  # fmt: skip

compiled = cache(numba.njit(**FLAGS))
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
NAN, INF = np.nan, np.inf


def width(dtype) -> int:
    """How many numbers a vector holds."""
    return simd.VECTOR_BYTES // np.dtype(dtype).itemsize


def vector(values, dtype) -> np.ndarray:
    """The values again and again until a vector is full."""
    return np.resize(np.array(values, dtype), width(dtype))


@cache
def on_arrays(function):
    function = compiled(function)

    @compiled
    def run(a, b, c, out):
        store(out, 0, function(load(a, 0), load(b, 0), load(c, 0)))

    return run


def apply(function, a, b=None, c=None) -> np.ndarray:
    """What ``function(a, b, c)`` of three vectors gives."""
    out = np.empty_like(a)
    on_arrays(function)(a, a if b is None else b, a if c is None else c, out)
    return out


def test_the_width_is_the_machines_or_the_one_asked_for():
    assert simd.VECTOR_BYTES == int(os.environ.get("MINICNN_VECTOR_BYTES", simd.VECTOR_BYTES))
    assert lanes(np.zeros(1, np.float32)) == 2 * lanes(np.zeros(1)) == simd.VECTOR_BYTES // 4


# ------------------------------------------------------------------------------------------- lane by lane

ARITHMETIC = {
    "add": (lambda a, b, c: a + b, lambda a, b, c: a + b),
    "subtract": (lambda a, b, c: a - b, lambda a, b, c: a - b),
    "multiply": (lambda a, b, c: a * b, lambda a, b, c: a * b),
    "divide": (lambda a, b, c: a / b, lambda a, b, c: a / b),
    "number on the left": (lambda a, b, c: 1 - a, lambda a, b, c: 1 - a),
    "number on the right": (lambda a, b, c: a / 4, lambda a, b, c: a / 4),
    "fma": (lambda a, b, c: fma(a, b, c), lambda a, b, c: a * b + c),
    "fma of numbers": (lambda a, b, c: fma(2, a, -1.5), lambda a, b, c: 2 * a - 1.5),
    "square root": (lambda a, b, c: sqrt(a * a), lambda a, b, c: np.abs(a)),
    "splat": (lambda a, b, c: splat(a, 3), lambda a, b, c: np.full_like(a, 3)),
}


@every_dtype
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name, dtype):
    ours, numpys = ARITHMETIC[name]
    a, b, c = vector([3, -2, 5, 0.5], dtype), vector([2, 4, -1, 0.5, 8], dtype), vector([1, -8, 6], dtype)
    np.testing.assert_array_equal(apply(ours, a, b, c), numpys(a, b, c))


@every_dtype
def test_in_place_operators_leave_the_old_vector_alone(dtype):
    def function(a, b, c):
        kept = a
        a += b
        a -= 1
        return a * kept

    a, b = vector([3, -2, 5, 0.5], dtype), vector([2, 4, -1], dtype)
    np.testing.assert_array_equal(apply(function, a, b), (a + b - 1) * a)


COMPARISONS = {
    "<": (lambda a, b, c: select(a < b, splat(a, 1), 0), operator.lt),
    "<=": (lambda a, b, c: select(a <= b, splat(a, 1), 0), operator.le),
    ">": (lambda a, b, c: select(a > b, splat(a, 1), 0), operator.gt),
    ">=": (lambda a, b, c: select(a >= b, splat(a, 1), 0), operator.ge),
    "==": (lambda a, b, c: select(a == b, splat(a, 1), 0), operator.eq),
    "< number": (lambda a, b, c: select(a < 2, splat(a, 1), 0), lambda a, b: a < 2),
    "both": (lambda a, b, c: select((a < b) & (a > 1), splat(a, 1), 0), lambda a, b: (a < b) & (a > 1)),
    "either": (lambda a, b, c: select((a < b) | (a > 2), splat(a, 1), 0), lambda a, b: (a < b) | (a > 2)),
    "not": (lambda a, b, c: select(~(a < b), splat(a, 1), 0), lambda a, b: ~(a < b)),
}


@every_dtype
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_are_numpys_also_where_a_lane_is_not_a_number(name, dtype):
    ours, numpys = COMPARISONS[name]
    for others in ([2, 2, 2, 2], [INF, -INF, 3, NAN], [NAN, 2, NAN, 1]):
        a, b = vector([1, 2, 3, NAN], dtype), vector(others, dtype)
        np.testing.assert_array_equal(apply(ours, a, b), numpys(a, b))


@every_dtype
def test_the_larger_and_the_smaller_is_b_where_a_lane_is_not_a_number(dtype):
    a, b = vector([1, 5, NAN, 2, INF], dtype), vector([2, 3, 4, NAN, -INF], dtype)
    np.testing.assert_array_equal(apply(lambda a, b, c: maximum(a, b), a, b), vector([2, 5, 4, NAN, INF], dtype))
    np.testing.assert_array_equal(apply(lambda a, b, c: minimum(a, b), a, b), vector([1, 3, 4, NAN, -INF], dtype))
    np.testing.assert_array_equal(apply(lambda a, b, c: maximum(0, a), a), vector([1, 5, NAN, 2, INF], dtype))


@every_dtype
def test_bits(dtype):
    a = vector([1.5, -2, 0, -INF], dtype)
    two = vector([2], dtype)  # of whose bits only the highest of the exponent is set
    np.testing.assert_array_equal(apply(lambda a, b, c: floats(bits(a) | bits(splat(a, -0.0))), a), -np.abs(a))
    np.testing.assert_array_equal(apply(lambda a, b, c: floats(bits(a) & bits(b)), a, two), 2 * (np.abs(a) >= 2))
    np.testing.assert_array_equal(apply(lambda a, b, c: floats((bits(a) << 1) >> 1), a), np.abs(a))


# ------------------------------------------------------------------------------------------- across lanes

SHUFFLES = {
    "even": (lambda a, b, c: even(a, b), lambda both, n: both[::2]),
    "odd": (lambda a, b, c: odd(a, b), lambda both, n: both[1::2]),
    "zip_low": (lambda a, b, c: zip_low(a, b), lambda both, n: both.reshape(2, n)[:, : n // 2].T.reshape(-1)),
    "zip_high": (lambda a, b, c: zip_high(a, b), lambda both, n: both.reshape(2, n)[:, n // 2 :].T.reshape(-1)),
    "total": (lambda a, b, c: total(b), lambda both, n: np.full(n, both[n:].sum())),
    "highest": (lambda a, b, c: highest(0 - a), lambda both, n: np.zeros(n)),
    "counting": (lambda a, b, c: counting(a), lambda both, n: both[:n]),
    "lane": (lambda a, b, c: splat(a, lane(b, 1)), lambda both, n: np.full(n, both[n + 1])),
}


@every_dtype
@pytest.mark.parametrize("name", SHUFFLES)
def test_across_lanes(name, dtype):
    ours, expected = SHUFFLES[name]
    n = width(dtype)
    both = np.arange(2 * n, dtype=dtype)
    np.testing.assert_array_equal(apply(ours, both[:n], both[n:]), expected(both, n))


@every_dtype
def test_transpose_of_a_square(dtype):
    n = width(dtype)

    @compiled
    def run(a, out):
        rows = square(load(a, 0))
        for i in range(lanes(a)):
            rows = tuple_setitem(rows, i, load(a, i * lanes(a)))
        rows = transpose(rows)
        for i in range(lanes(a)):
            store(out, i * lanes(a), rows[i])

    a = np.arange(n * n, dtype=dtype)
    out = np.empty_like(a)
    run(a, out)
    np.testing.assert_array_equal(out.reshape(n, n), a.reshape(n, n).T)


@every_dtype
def test_widened_lanes_are_float64(dtype):
    @compiled
    def run(a, out):
        parts = widen(load(a, 0))
        for i in range(len(parts)):
            store(out, i * lanes(out), parts[i] * (1 + 2.0**-40))

    a, out = np.arange(width(dtype), dtype=dtype), np.empty(width(dtype))
    run(a, out)
    np.testing.assert_array_equal(out, a.astype(np.float64) * (1 + 2.0**-40))


# ------------------------------------------------------------------------------------------- memory


@every_dtype
def test_single_numbers_and_any_alignment(dtype):
    @compiled
    def run(a, out):
        store(out, 1, load(a, 3))
        store(out, 1 + lanes(a), broadcast(a, 2))
        poke(out, 0, peek(a, 5))

    n = width(dtype)
    a, out = np.arange(n + 6, dtype=dtype), np.zeros(2 * n + 2, dtype)
    run(a, out)
    np.testing.assert_array_equal(out, [5, *a[3 : n + 3], *[2] * n, 0])


@every_dtype
def test_asking_for_memory_ahead_changes_nothing_wherever_it_is(dtype):
    @compiled
    def run(a):
        for index in (0, a.size, -(2**40), 2**40):
            prefetch(a, index)

    a = np.arange(width(dtype), dtype=dtype)
    run(a)
    np.testing.assert_array_equal(a, np.arange(a.size))


@every_dtype
def test_parts_of_a_vector_touch_no_other_memory(dtype):
    @compiled
    def run(a, index, count, fill, whole, part):
        store(whole, 0, load_part(a, index, count, fill))
        store_part(part, 1, count, load(whole, 0) + 1)

    n = width(dtype)
    a = np.arange(1, n + 3, dtype=dtype)
    for count in range(-1, n + 3):
        read = min(max(count, 0), n)
        whole, part = np.zeros(n, dtype), np.zeros(n + 2, dtype)
        # The last numbers of the array: what lies behind is not ours.
        run(a, a.size - read, count, -9, whole, part)
        np.testing.assert_array_equal(whole, [*a[a.size - read :], *[-9] * (n - read)])
        np.testing.assert_array_equal(part, [0, *(whole[:read] + 1), *[0] * (n + 1 - read)])


# ------------------------------------------------------------------------------------------- mathematics

# Function -> NumPy's in more digits, the largest error in units of the last place, and where it may be asked.
MATHS = {
    "exp": (np.exp, 1.0, lambda x: x),
    "exp_below_zero": (np.exp, 1.0, lambda x: -np.abs(x)),
    "log": (np.log, 1.0, lambda x: x),
    "tanh": (np.tanh, 1.7, lambda x: x),
    "sigmoid": (lambda x: np.where(x < 0, np.exp(-np.abs(x)), 1) / (1 + np.exp(-np.abs(x))), 2.5, lambda x: x),
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, INF, -INF, NAN]


def samples(dtype) -> np.ndarray:
    """Numbers of every size, the ranges where something happens, and those next to every border."""
    rng, info = np.random.default_rng(3), np.finfo(dtype)
    least, greatest = float(info.smallest_subnormal), float(info.max)
    integers = np.iinfo({4: np.int32, 8: np.int64}[np.dtype(dtype).itemsize])
    every_size = rng.integers(integers.min, integers.max, 100_000, integers.dtype).view(dtype)
    reach = -1.05 * np.log(least)
    ranges = [rng.uniform(-r, r, 100_000) for r in (0.01, 1, 10, reach)] + [rng.uniform(0.6, 1.6, 100_000)]
    edges = [info.tiny, greatest, 0.55, reach, 2**0.5, 0.5**0.5, *np.log([least, float(info.tiny), greatest])]
    edges = np.array(edges, dtype)
    near = np.concatenate([edges, np.nextafter(edges, dtype(0)), [least]])
    # Each is converted by itself: among ``every_size`` are NaNs that must not be touched.
    return np.concatenate([SPECIAL, near, -near, every_size, *ranges], dtype=dtype, casting="same_kind")


@every_dtype
@pytest.mark.parametrize("name", MATHS)
def test_maths_is_right_to_the_last_place(name, dtype):
    more_digits = np.longdouble if dtype == np.float64 else np.float64
    if np.finfo(more_digits).eps >= np.finfo(dtype).eps:
        pytest.skip("this machine has no numbers with more digits than float64")
    numpys, most, fit = MATHS[name]
    function = getattr(vector_math, name)

    @compiled
    def run(x, out):
        for i in range(0, x.size, lanes(x)):
            store_part(out, i, x.size - i, function(load_part(x, i, x.size - i, 0)))

    x = fit(samples(dtype))
    out = np.empty_like(x)
    run(x, out)
    with np.errstate(all="ignore"):
        exact = np.asarray(numpys(x.astype(more_digits)), more_digits)
        nearest = exact.astype(dtype)
        finite = np.isfinite(nearest)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(nearest))
        unit = np.spacing(np.abs(np.where(finite, nearest, 1)))
        errors = np.where(finite, np.abs(out.astype(more_digits) - exact) / unit, out != nearest)
    worst = np.nanargmax(errors)
    assert errors[worst] <= most, f"{name}({x[worst]!r}) is {exact[worst]!r}, got {out[worst]!r}"
    np.testing.assert_array_equal(np.signbit(out[exact == 0]), np.signbit(exact[exact == 0]))


# ------------------------------------------------------------------------------------------- other machines


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 64])
def test_vectors_of_another_width(size):
    """All of the above with 16 bytes, the narrowest, and 64, which LLVM makes of several registers where it has to."""
    if "MINICNN_VECTOR_BYTES" in os.environ:
        pytest.skip("already inside")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-x", __file__]
    environment = {**os.environ, "MINICNN_VECTOR_BYTES": str(size)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
