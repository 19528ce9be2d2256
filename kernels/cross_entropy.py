"""How far predicted log-probabilities are from a target distribution, fast. Read reference/cross_entropy.py first.

A job is a vector of places or one row, as in softmax.py. Log-probabilities are never written to memory: of each place only
six numbers are kept, and the gradient computes the
rest again from x.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import broadcast, counting, lanes, load, load_part, select, splat, store_part
from minicnn.kernels.softmax import copy_and_top, each_place, path, paths, read, room, sum_of_exps, write
from minicnn.kernels.vector_math import exp_below_zero, log


@kernel
def _places(x, p, classes, places):
    """Return the first place of the path and how many it has."""
    image = classes * places
    return p.at // image * places + p.at % image, 1 if p.shrink else min(lanes(x), p.count)


@kernel
def _of_places(values, place, count, p):
    return broadcast(values, place) if p.shrink else load_part(values, place, count, 0)


@kernel
def _spread(spread, x, p, k):
    if spread.size == x.size:
        return read(spread, p, k, 0)
    if p.shrink:
        return load_part(spread, k * p.stride, p.count - k * p.shrink, 0)
    return broadcast(spread, k)


@kernel
def _forward(start, stop, x, labels, peak, spread, classes, places, losses, tops, log_sums, weights, rights, peaks):
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
        store_part(losses, place, count, each_place(p, loss))
        store_part(tops, place, count, top)
        store_part(log_sums, place, count, log_sum)
        store_part(weights, place, count, each_place(p, weight))
        for i in range(place, place + count):
            label = labels[i]
            rights[i], peaks[i] = label, 0 if label < 0 else peak[label]
            if label < 0:
                losses[i] = 0
            elif peaks[i] != 0:
                losses[i] -= peaks[i] * ((x[p.at + label * places + i - place] - tops[i]) - log_sums[i])
                weights[i] += peaks[i]


@kernel
def _grad_input(
    start, stop, grad_losses, x, spread, classes, places, tops, log_sums, weights, rights, peaks, grad_input
):
    for job in range(start, stop):
        p = path(x, job, classes, places)
        place, count = _places(x, p, classes, places)
        top, log_sum = _of_places(tops, place, count, p), _of_places(log_sums, place, count, p)
        weight, peak = _of_places(weights, place, count, p), _of_places(peaks, place, count, p)
        right, grad_loss = _of_places(rights, place, count, p), _of_places(grad_losses, place, count, p)
        c = counting(x) if p.shrink else splat(x, 0)  # the class in each lane, as a number of x's dtype
        for k in range(p.steps):
            share = select(c == right, peak, 0)
            if spread.size:
                share += _spread(spread, x, p, k)
            probability = exp_below_zero((read(x, p, k, 0) - top) - log_sum)
            write(grad_input, p, k, select(right < 0, 0, grad_loss * (probability * weight - share)))
            c += lanes(x) if p.shrink else 1


def cross_entropy_forward(x, labels, peak, spread):
    """Return the losses (N, places), and what the gradient needs beside x."""
    n, classes, places = x.shape
    losses, *kept = np.empty((6, n * places), x.dtype)
    launch(
        _forward, paths(x, n, places), x.reshape(-1), labels.reshape(-1), peak, spread.reshape(-1), classes, places,
        losses, *kept, work=4 * classes * min(places, lanes(x)),
    )  # fmt: skip
    return losses.reshape(n, places), (spread, *kept)


def cross_entropy_grad_input(grad_losses, x, kept):
    """grad_input_c = grad_loss * (softmax(x)_c * (sum of the shares) - share_c)."""
    n, classes, places = x.shape
    spread, *of_places = kept
    grad_input = np.empty(x.shape, x.dtype)
    launch(
        _grad_input, paths(x, n, places), grad_losses.reshape(-1), x.reshape(-1), spread.reshape(-1), classes, places,
        *of_places, grad_input.reshape(-1), work=4 * classes * min(places, lanes(x)),
    )  # fmt: skip
    return grad_input
