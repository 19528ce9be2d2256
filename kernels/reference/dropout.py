"""Dropout: silence a random part of the numbers and make up for it in the others.

out[i] = 0                 with probability p
         x[i] / (1 - p)    otherwise

Which ones are silenced is not drawn from a generator that moves on, but computed from (seed, step, i): element i
of call number ``step`` has a random number of its own. So the mask is the same on any number of threads, and
the backward pass computes it again instead of keeping it.

The numbers are SplitMix64's (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"): a
counter goes up in steps of GOLDEN, and ``_mix`` scatters it over all 64 bits.
"""

import numpy as np

GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio
_64_BITS = 2**64 - 1


def _mix(z):
    """Scatter 64 bits: each bit of the result depends on every bit of ``z``."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return z ^ (z >> 31)


def _start(seed, step):
    """Where call number ``step`` begins in the cycle of 2**64 numbers; distant for neighbouring calls."""
    return _mix(_mix(seed) ^ step)


def dropout_forward(x, *, p, seed, step, share):
    """Drop or scale; runs of ``share`` elements have one fate (1, or H * W to drop whole planes).

    The op is linear and treats each element alone, so ``dropout_forward(grad_out, ...)`` is its gradient.
    """
    start = _start(seed, step)
    out = np.zeros_like(x)
    for i in range(x.size):
        number = _mix((start + (i // share + 1) * GOLDEN) & _64_BITS) >> 11  # uniform in 0 .. 2**53 - 1
        if number >= p * 2**53:
            out.flat[i] = x.flat[i] * (1 / (1 - p))
    return out
