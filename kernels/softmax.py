"""Softmax and its logarithm along one axis, fast. Read reference/softmax.py first.

An array of any rank is (before, C, after) here, with C the axis in question; a job is one (before, after): it
reads C numbers, ``after`` apart. Sums are kept in float64, the exponentials in the dtype of the array.
"""

import math

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel
def _softmax(start, stop, x, out):
    _, classes, after = x.shape
    for job in range(start, stop):
        b, i = job // after, job % after
        top = _top(x, b, i)
        total = 0.0
        for c in range(classes):
            out[b, c, i] = math.exp(x[b, c, i] - top)
            total += out[b, c, i]
        for c in range(classes):
            out[b, c, i] = out[b, c, i] / total


@kernel
def _softmax_grad(start, stop, grad_out, out, grad_input):
    _, classes, after = out.shape
    for job in range(start, stop):
        b, i = job // after, job % after
        dot = 0.0
        for c in range(classes):
            dot += grad_out[b, c, i] * out[b, c, i]
        for c in range(classes):
            grad_input[b, c, i] = out[b, c, i] * (grad_out[b, c, i] - dot)


@kernel
def _log_softmax(start, stop, x, out):
    _, classes, after = x.shape
    for job in range(start, stop):
        b, i = job // after, job % after
        top = _top(x, b, i)
        total = 0.0
        for c in range(classes):
            total += math.exp(x[b, c, i] - top)
        log_sum = math.log(total)
        for c in range(classes):
            out[b, c, i] = (x[b, c, i] - top) - log_sum


@kernel
def _log_softmax_grad(start, stop, grad_out, out, grad_input):
    _, classes, after = out.shape
    for job in range(start, stop):
        b, i = job // after, job % after
        total = 0.0
        for c in range(classes):
            total += grad_out[b, c, i]
        for c in range(classes):
            grad_input[b, c, i] = grad_out[b, c, i] - math.exp(out[b, c, i]) * total


@kernel
def _top(x, b, i):
    """The maximum of one row, in the dtype of the array; a NaN need not win, its exponential will."""
    top = x[b, 0, i]
    for c in range(1, x.shape[1]):
        if x[b, c, i] > top:
            top = x[b, c, i]
    return top


def _along(loop, dim, *arrays):
    """Run ``loop`` on the arrays as (before, C, after); return its result in their shape."""
    result = np.empty_like(arrays[0])
    if result.size:
        shape = result.shape
        before, classes, after = math.prod(shape[:dim]), shape[dim], math.prod(shape[dim + 1 :])
        flat = [a.reshape(before, classes, after) for a in (*arrays, result)]
        launch(loop, before * after, *flat, work=10 * classes)
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
