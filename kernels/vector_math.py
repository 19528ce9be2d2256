"""exp, log, tanh and sigmoid of a whole vector at once.

Numba calls the C library for each of them, one number at a time: 5 to 22 ns. Here exp takes 0.4 ns a number, sigmoid
0.5, tanh 1.0 (EPYC, AVX2, float32; PyTorch 0.9, 1.0, 3.3), because each is nothing but additions and multiplications.
They are wrong by at most 1 unit in the last place (exp, log), 1.5 (tanh), in both dtypes. All follow the same plan,
in three steps.

**Range reduction.** No short polynomial follows exp from -100 to 100, but powers of two cost nothing: they are the
exponent of a floating point number. So x is written as ``k * log(2) + r`` with a whole k, and then exp(x) = 2**k *
exp(r) with r within -0.35 .. 0.35. The logarithm goes the other way: x = 2**k * m with m within 0.71 .. 1.41, log(x) =
k * log(2) + log(m). ``k * log(2)`` must not lose the digits that r consists of: log(2) is taken in two parts, of which
the first has so few digits that its product with k is exact.

**Polynomial.** On the small range that is left, a polynomial of degree 6 (float32) or 11 (float64) is as good as the
function. Its coefficients are nearly Taylor's; the small difference makes its largest error as small as it can be
(Remez' algorithm). The first terms, 1 + r, are exact, so that what is computed is only a small correction.

**Scaling.** 2**k is made by writing k into the bits of the exponent.

What is not a number stays so, and infinity, zero and the tiny numbers below the normal range come out right.
"""

from __future__ import annotations

import numpy as np
from numba.core.extending import overload
from numba.core.types import float32

from minicnn.kernels.jit import kernel
from minicnn.kernels.simd import bits, floats, fma, maximum, minimum, select, splat

# In pairs: what float32 needs, what float64 needs.
MANTISSA_BITS = 23, 52
LARGE = 2.0**23, 2.0**52  # from here on a float has no digits behind the point
BIAS = 127, 1023  # the exponent 2**k is stored as k + BIAS
LEAST_NORMAL = 2.0**-126, 2.0**-1022
LOG2_HIGH = 0.693359375, 6.93147180369123816490e-01  # 9 and 33 digits in base two: times k exact
LOG2_LOW = -2.12194440e-4, 1.90821492927058770002e-10
EXP_FROM, EXP_TO = (-104.0, -746.0), (89.0, 710.0)  # below is 0, above infinity
LIFT, LOWER = (64, 512), (2.0**-64, 2.0**-512)

# (exp(r) - 1 - r) / r**2, highest power first
EXP = (
    (0.0013946497347205877, 0.00836661085486412, 0.04166628047823906, 0.1666654348373413, 0.5),
    (
        2.511452651905507e-08, 2.762638181145654e-07, 2.755722780058702e-06, 2.4801504313183643e-05,
        1.984126990318245e-04, 0.0013888888932483382, 0.008333333333314532, 0.04166666666657333,
        0.16666666666666685, 0.5000000000000006,
    ),
)  # fmt: skip
# (log((1 + s) / (1 - s)) / s - 2) / s**2 as a polynomial of s**2
LOG = (
    (0.2987239956855774, 0.3997751772403717, 0.6666677594184875),
    (
        0.1479672738821897, 0.15313977038358548, 0.18183567027444286, 0.22222198524688463, 0.2857142874282424,
        0.3999999999941289, 0.6666666666666735,
    ),
)  # fmt: skip
# (tanh(x) / x - 1) / x**2 as a polynomial of x**2
TANH = (
    (-0.006281442940235138, 0.021077075973153114, -0.053853705525398254, 0.13332600891590118, -0.33333319425582886),
    (
        -1.951449877940102e-05, 8.334976471198775e-05, -2.334057301357506e-04, 5.884543743944618e-04,
        -0.0014555453525859666, 0.0035920924373845434, -0.008863232643660202, 0.021869488388564284,
        -0.05396825396386043, 0.13333333333326802, -0.333333333333333,
    ),
)  # fmt: skip


def own(x, pair):
    """Return the one of ``pair`` that belongs to the dtype of the vector ``x``."""


@overload(own)
def _own(x, pair):
    if x.dtype == float32:
        return lambda x, pair: pair[0]
    return lambda x, pair: pair[1]


@kernel
def polynomial(x, coefficients):
    """Horner's rule: ((c0 * x + c1) * x + c2) * x + ..."""
    total = splat(x, coefficients[0])
    for i in range(1, len(coefficients)):
        total = fma(total, x, coefficients[i])
    return total


@kernel
def nearest(x):
    """Return the whole number nearest to each lane, for sizes below 2**22.

    Beyond LARGE there are no digits behind the point: adding so much rounds, taking it away again leaves the rest.
    """
    return x + 1.5 * own(x, LARGE) - 1.5 * own(x, LARGE)


@kernel
def power_of_two(k, more):
    """Return 2**(k + more) for a whole k and a constant, as long as this is a normal number.

    The sum ends in the digits of k + more + BIAS, which the shift moves up to the exponent; the rest falls off the top.
    """
    return floats(bits(k + (own(k, LARGE) + own(k, BIAS) + more)) << own(k, MANTISSA_BITS))


@kernel
def exponent_and_mantissa(x):
    """Return k and m of x = 2**k * m with m within 1 .. 2, for positive normal numbers: power_of_two backwards."""
    place, large = own(x, MANTISSA_BITS), own(x, LARGE)
    k = floats(bits(x) >> place | bits(splat(x, large))) - (large + own(x, BIAS))
    return k, floats(bits(x) & ((1 << place) - 1) | bits(splat(x, 1.0)))


@kernel
def copysign(size, sign):
    """Return ``size``, which is positive, with the sign of ``sign``."""
    return floats(bits(size) | (bits(sign) & bits(splat(sign, -0.0))))


@kernel
def _split(x):
    """Return k and exp(r), where x = k * log(2) + r, k is whole and r small."""
    k = nearest(x * 1.4426950408889634)
    r = fma(k, -own(x, LOG2_LOW), fma(k, -own(x, LOG2_HIGH), x))
    return k, fma(fma(polynomial(r, own(x, EXP)), r, 1.0), r, 1.0)


@kernel
def exp(x):
    """Return e**x. 2**k may lie outside the normal numbers, so it is multiplied in two halves."""
    k, rest = _split(minimum(own(x, EXP_TO), maximum(own(x, EXP_FROM), x)))
    half = nearest(k * 0.5)
    return rest * power_of_two(half, 0) * power_of_two(k - half, 0)


@kernel
def exp_below_zero(x):
    """Return e**x for x <= 0, a quarter faster: no overflow, and one constant lifts all 2**k to the normal numbers.

    Softmax, tanh and sigmoid need no other.
    """
    k, rest = _split(maximum(own(x, EXP_FROM), x))
    return rest * power_of_two(k, own(x, LIFT)) * own(x, LOWER)


@kernel
def log(x):
    """Return the natural logarithm: minus infinity of 0, not a number of less.

    With s = (m - 1) / (m + 1), log(m) = log((1 + s) / (1 - s)) = 2s + 2/3 s**3 + 2/5 s**5 ..: half of the powers are
    missing.
    """
    tiny = x < own(x, LEAST_NORMAL)
    lifted = select(tiny, x * own(x, LARGE), x)
    k, m = exponent_and_mantissa(lifted)
    k -= select(tiny, splat(x, own(x, MANTISSA_BITS)), 0.0)
    high = m > 1.4142135
    k, m = select(high, k + 1.0, k), select(high, m * 0.5, m)

    f = m - 1.0
    s = f / (m + 1.0)
    z = s * s
    half_square = 0.5 * f * f
    # log(m) = 2s + s * z * P(z), rewritten (2s = f - s * f) so that f, which is exact, stands alone and last
    rest = fma(s, fma(polynomial(z, own(x, LOG)), z, half_square), k * own(x, LOG2_LOW))
    result = fma(k, own(x, LOG2_HIGH), f - (half_square - rest))
    result = select(x == 0, -np.inf, select(x < 0, np.nan, result))
    return select(x < np.inf, result, x)


@kernel
def tanh(x):
    """Return 1 - 2 y / (1 + y) with y = e**-2x, from the size of x; then its sign, which zero has too.

    For small x that would take the difference of two nearly equal numbers; there a polynomial is as short.
    """
    size = maximum(x, 0 - x)
    square = x * x
    small = fma(polynomial(square, own(x, TANH)) * square, size, size)
    y = exp_below_zero(-2.0 * size)
    return copysign(select(size < 0.55, small, 1.0 - 2.0 * y / (1.0 + y)), x)


@kernel
def sigmoid(x):
    """Return 1 / (1 + e**-x), wrong by at most 2.5 ulp.

    For negative x that is e**x / (1 + e**x), so that on both sides e**-|x|, which cannot overflow, is all it takes.
    """
    y = exp_below_zero(minimum(x, 0 - x))
    return select(x < 0, y, 1.0) / (1.0 + y)
