"""Softmax and its logarithm along one axis, fast. Read reference/softmax.py first.

An array of any rank is (before, C, after) here, with C the axis in question. A job is one vector of places:

- after > 1: neighbours of ``after``, one in each lane, walk through their C numbers together, in steps of ``after``
- after = 1: the lanes share one place, walk through its row a vector at a time, and add up their sums at the end

``Path`` says which, so that every loop is written once. What a job reads stays in the cache between its loops, so
memory is read once. Vectors of exponentials instead of the C library's: 5 times as fast (128 rows of 1000, EPYC, AVX2).
"""

import math
from typing import NamedTuple

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import highest, lanes, load, load_part, maximum, splat, store, store_part, total
from minicnn.kernels.vector_math import exp_below_zero, log


class Path(NamedTuple):
    """Where one job finds its numbers: ``steps`` vectors, ``stride`` apart, the first at ``at``."""

    at: int
    steps: int
    stride: int
    count: int  # lanes in use at the first step
    shrink: int  # by how much fewer at each further one; 0 where every lane has a place of its own


@kernel
def path(x, job, classes, after):
    n = lanes(x)
    if after == 1:
        return Path(job * classes, -(-classes // n), n, classes, n)
    groups = -(-after // n)
    i = job % groups * n
    return Path(job // groups * classes * after + i, classes, after, after - i, 0)


def paths(x, before, after):
    """Return how many paths there are."""
    return before * -(-after // lanes(x))


@kernel
def room(x, classes, after):
    """Return an array for a copy of what one path reads."""
    n = lanes(x)
    return np.empty(classes + n if after == 1 else classes * n, x.dtype)


@kernel
def read(x, p, k, fill):
    return load_part(x, p.at + k * p.stride, p.count - k * p.shrink, fill)


@kernel
def write(out, p, k, value):
    store_part(out, p.at + k * p.stride, p.count - k * p.shrink, value)


@kernel
def each_place(p, sums):
    """Add up the lanes if they share a place."""
    return total(sums) if p.shrink else sums


@kernel
def copy_and_top(x, p, row):
    """Copy what the path reads to ``row``; return its maximum. A NaN need not win: its exponential will."""
    n = lanes(x)
    top = splat(x, -np.inf)
    for k in range(p.steps):
        a = read(x, p, k, -np.inf)
        store(row, k * n, a)
        top = maximum(top, a)
    return highest(top) if p.shrink else top


@kernel
def sum_of_exps(row, p, top, keep):
    """Return the sum of exp(row - top); with ``keep``, leave the exponentials in ``row``.

    In runs of 64 steps: a float32 to which thousands of terms were added one by one would lose their last digits.
    """
    n, sums = lanes(row), splat(row, 0)
    for first in range(0, p.steps, 64):
        run = splat(row, 0)
        for k in range(first, min(first + 64, p.steps)):
            e = exp_below_zero(load(row, k * n) - top)
            run += e
            if keep:
                store(row, k * n, e)
        sums += run
    return each_place(p, sums)


@kernel
def _softmax(start, stop, x, classes, after, out):
    n, row = lanes(x), room(x, classes, after)
    for job in range(start, stop):
        p = path(x, job, classes, after)
        share = 1.0 / sum_of_exps(row, p, copy_and_top(x, p, row), True)
        for k in range(p.steps):
            write(out, p, k, load(row, k * n) * share)


@kernel
def _softmax_grad(start, stop, grad_out, out, classes, after, grad_input):
    for job in range(start, stop):
        p = path(out, job, classes, after)
        dot = splat(out, 0)
        for k in range(p.steps):
            dot += read(grad_out, p, k, 0) * read(out, p, k, 0)
        dot = each_place(p, dot)
        for k in range(p.steps):
            write(grad_input, p, k, read(out, p, k, 0) * (read(grad_out, p, k, 0) - dot))


@kernel
def _log_softmax(start, stop, x, classes, after, out):
    n, row = lanes(x), room(x, classes, after)
    for job in range(start, stop):
        p = path(x, job, classes, after)
        top = copy_and_top(x, p, row)
        log_sum = log(sum_of_exps(row, p, top, False))
        for k in range(p.steps):
            write(out, p, k, (load(row, k * n) - top) - log_sum)


@kernel
def _log_softmax_grad(start, stop, grad_out, out, classes, after, grad_input):
    for job in range(start, stop):
        p = path(out, job, classes, after)
        sums = splat(out, 0)
        for k in range(p.steps):
            sums += read(grad_out, p, k, 0)
        sums = each_place(p, sums)
        for k in range(p.steps):
            write(grad_input, p, k, read(grad_out, p, k, 0) - exp_below_zero(read(out, p, k, 0)) * sums)


def _along(loop, dim, *arrays):
    """Run ``loop`` on the arrays as flat ones; return its result in their shape."""
    shape = arrays[0].shape
    result = np.empty(shape, arrays[0].dtype)
    if result.size:
        before, classes, after = math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])
        flat = [a.reshape(-1) for a in arrays]
        work = 4 * classes * min(after, lanes(result))
        launch(loop, paths(result, before, after), *flat, classes, after, result.reshape(-1), work=work)
    return result


def softmax_forward(x, *, dim):
    """Return positive numbers that sum to 1 along ``dim``."""
    return _along(_softmax, dim, x)


def softmax_grad_input(grad_out, out, *, dim):
    """grad_input_c = out_c * (grad_out_c - sum over k of grad_out_k * out_k)."""
    return _along(_softmax_grad, dim, grad_out, out)


def log_softmax_forward(x, *, dim):
    """Return the logarithm of softmax, exact where softmax itself is too small for a float."""
    return _along(_log_softmax, dim, x)


def log_softmax_grad_input(grad_out, out, *, dim):
    """grad_input_c = grad_out_c - exp(out_c) * sum over k of grad_out_k."""
    return _along(_log_softmax_grad, dim, grad_out, out)
