"""How far predicted log-probabilities are from a target distribution, fast. Read reference/cross_entropy.py first.

A job is a vector of places or one row, as in softmax.py. Log-probabilities are never written to memory: of each place
five numbers are kept, and the gradient computes the rest again from x: one array is read and none written in the
forward pass, where PyTorch writes two.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import broadcast, counting, lanes, load, load_part, select, splat, store_part
from minicnn.kernels.softmax import copy_and_top, each_place, path, paths, read, room, sum_of_exps, write
from minicnn.kernels.vector_math import exp_below_zero, log

# What is kept of each place, in one array: its loss; the maximum of its row and the logarithm of the sum of
# exponentials below that; the sum of its shares; its label, as a number of x's dtype, and the peak there.
LOSS, TOP, LOG_SUM, WEIGHT, LABEL, PEAK = range(6)
KINDS = 6


@kernel
def _places(x, p, classes, places):
    """Return the first place of the path and how many it has."""
    image = classes * places
    return p.at // image * places + p.at % image, 1 if p.shrink else min(lanes(x), p.count)


@kernel
def _put(kept, what, place, count, value):
    store_part(kept, what * (kept.size // KINDS) + place, count, value)


@kernel
def _get(kept, what, place, count, p):
    at = what * (kept.size // KINDS) + place
    return broadcast(kept, at) if p.shrink else load_part(kept, at, count, 0)


@kernel
def _spread(spread, x, p, k):
    if spread.size == x.size:
        return read(spread, p, k, 0)
    if p.shrink:
        return load_part(spread, k * p.stride, p.count - k * p.shrink, 0)
    return broadcast(spread, k)


@kernel
def _forward(start, stop, x, labels, peak, spread, classes, places, kept):
    n, row = lanes(x), room(x, classes, places)
    for job in range(start, stop):
        p = path(x, job, classes, places)
        place, count = _places(x, p, classes, places)
        top = copy_and_top(x, p, row)
        log_sum = log(sum_of_exps(row, p, top, False))
        loss, weight = splat(x, 0), splat(x, 0)
        if spread.size:
            for k in range(p.steps):
                share = _spread(spread, x, p, k)
                log_p = (load(row, k * n) - top) - log_sum
                loss -= select(share == 0, 0, share * log_p)  # 0 * log 0 is 0 here
                weight += share
        _put(kept, TOP, place, count, top)
        _put(kept, LOG_SUM, place, count, log_sum)
        _put(kept, LOSS, place, count, each_place(p, loss))
        _put(kept, WEIGHT, place, count, each_place(p, weight))
        size, across = kept.size // KINDS, 1 if p.shrink else n
        for i in range(count):
            at, label = place + i, labels[place + i]
            kept[LABEL * size + at] = label
            kept[PEAK * size + at] = 0
            if label < 0:
                kept[LOSS * size + at] = 0
            elif peak[label] != 0:
                kept[PEAK * size + at] = peak[label]
                kept[WEIGHT * size + at] += peak[label]
                log_p = (row[label * across + i] - kept[TOP * size + at]) - kept[LOG_SUM * size + at]
                kept[LOSS * size + at] -= peak[label] * log_p


@kernel
def _grad_input(start, stop, grad_losses, x, spread, classes, places, kept, grad_input):
    for job in range(start, stop):
        p = path(x, job, classes, places)
        place, count = _places(x, p, classes, places)
        top, log_sum = _get(kept, TOP, place, count, p), _get(kept, LOG_SUM, place, count, p)
        weight, peak = _get(kept, WEIGHT, place, count, p), _get(kept, PEAK, place, count, p)
        label, grad_loss = _get(kept, LABEL, place, count, p), _get(grad_losses, 0, place, count, p)
        c = counting(x) if p.shrink else splat(x, 0)  # the class in each lane, as a number of x's dtype
        step = lanes(x) if p.shrink else 1
        if spread.size:
            for k in range(p.steps):
                probability = exp_below_zero((read(x, p, k, 0) - top) - log_sum)
                share = _spread(spread, x, p, k) + select(c == label, peak, 0)
                write(grad_input, p, k, grad_loss * (probability * weight - share))
                c += step
        else:
            weight, peak = grad_loss * weight, grad_loss * peak
            for k in range(p.steps):
                probability = exp_below_zero((read(x, p, k, 0) - top) - log_sum)
                write(grad_input, p, k, probability * weight - select(c == label, peak, 0))
                c += step
        for i in range(count):
            if kept[LABEL * (kept.size // KINDS) + place + i] < 0:
                for k in range(classes):
                    grad_input[p.at + i + k * places] = 0


def cross_entropy_forward(x, labels, peak, spread):
    """Return the losses (N, places), and what the gradient needs beside x."""
    n, classes, places = x.shape
    kept = np.empty((KINDS, n, places), x.dtype)
    launch(
        _forward, paths(x, n, places), x.reshape(-1), labels.reshape(-1), peak, spread.reshape(-1), classes, places,
        kept.reshape(-1), work=4 * classes * min(places, lanes(x)),
    )  # fmt: skip
    return kept[LOSS], (kept, spread)


def cross_entropy_grad_input(grad_losses, x, kept):
    """grad_input_c = grad_loss * (softmax(x)_c * (sum of the shares) - share_c)."""
    n, classes, places = x.shape
    of_places, spread = kept
    grad_input = np.empty(x.shape, x.dtype)
    launch(
        _grad_input, paths(x, n, places), grad_losses.reshape(-1), x.reshape(-1), spread.reshape(-1), classes, places,
        of_places.reshape(-1), grad_input.reshape(-1), work=4 * classes * min(places, lanes(x)),
    )  # fmt: skip
    return grad_input
