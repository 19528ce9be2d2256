"""How far predicted log-probabilities are from a target distribution, fast. Read reference/cross_entropy.py first.

A job is a vector of places or one row, as in softmax.py. Log-probabilities are never written to memory: of each place
five numbers are kept, and the gradient computes the rest again from x: one array is read and none written in the
forward pass, where PyTorch writes two. Of the time, two thirds are exponentials, which the arithmetic units limit: four
vectors side by side are no faster than two (EPYC, AVX2: 12 cycles a vector).
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import (
    broadcast,
    counting,
    lanes,
    load,
    load_part,
    select,
    splat,
    store_part,
    tuple_setitem,
)  # fmt: skip
from minicnn.kernels.softmax import (
    VECTORS,
    copy_and_tops,
    one_place,
    path,
    paths,
    read,
    room,
    sums_of_exps,
    width,
    write,
)  # fmt: skip
from minicnn.kernels.vector_math import exp_below_zero, log

# What is kept of each place, in one array: its loss; the maximum of its row and the logarithm of the sum of
# exponentials below that; the sum of its shares; its label, as a number of x's dtype, and the peak there.
LOSS, TOP, LOG_SUM, WEIGHT, LABEL, PEAK = range(6)
KINDS = 6


@kernel(inline=True)
def _places(p, classes, places):
    """Return the first place of the path and how many it has."""
    image = classes * places
    return p.at // image * places + p.at % image, 1 if p.shrink else p.count


@kernel(inline=True)
def _put(kept, kind, place, count, values):
    at = kind * (kept.size // KINDS) + place
    store_part(kept, at, count, values[0])
    if count > lanes(kept):
        store_part(kept, at + lanes(kept), count - lanes(kept), values[1])


@kernel(inline=True)
def _get(kept, kind, place, count, p):
    at = kind * (kept.size // KINDS) + place
    if p.shrink:
        return broadcast(kept, at), broadcast(kept, at)
    return load_part(kept, at, count, 0), load_part(kept, at + lanes(kept), count - lanes(kept), 0)


@kernel(inline=True)
def _spread(spread, x, p, line, v):
    if spread.size == x.size:
        return read(spread, p, line, v, 0)
    if p.shrink:
        at = line * p.stride + v * lanes(x)
        return load_part(spread, at, spread.size - at, 0)
    return broadcast(spread, line)


@kernel
def _forward(start, stop, x, labels, peak, spread, classes, places, kept):
    size, copy, zero = kept.size // KINDS, room(x, classes, places), splat(x, 0)
    for job in range(start, stop):
        p = path(x, job, classes, places)
        place, count = _places(p, classes, places)
        tops = copy_and_tops(x, p, copy)
        sums = sums_of_exps(copy, p, tops, False)
        logs = log(sums[0]), log(sums[1])
        losses, weights = (zero, zero), (zero, zero)
        if spread.size:
            for line in range(p.lines):
                for v in range(VECTORS):
                    share = _spread(spread, x, p, line, v)
                    log_p = (load(copy, line * width(x) + v * lanes(x)) - tops[v]) - logs[v]
                    loss = select(share == 0, 0, share * log_p)  # 0 * log 0 is 0 here
                    losses = tuple_setitem(losses, v, losses[v] - loss)
                    weights = tuple_setitem(weights, v, weights[v] + share)
        _put(kept, TOP, place, count, tops)
        _put(kept, LOG_SUM, place, count, logs)
        _put(kept, LOSS, place, count, one_place(p, losses))
        _put(kept, WEIGHT, place, count, one_place(p, weights))
        across = 1 if p.shrink else width(x)
        for i in range(count):
            at, label = place + i, labels[place + i]
            kept[LABEL * size + at] = label
            kept[PEAK * size + at] = 0
            if label < 0:
                kept[LOSS * size + at] = 0
            elif peak[label] != 0:
                kept[PEAK * size + at] = peak[label]
                kept[WEIGHT * size + at] += peak[label]
                log_p = (copy[label * across + i] - kept[TOP * size + at]) - kept[LOG_SUM * size + at]
                kept[LOSS * size + at] -= peak[label] * log_p


@kernel
def _grad_input(start, stop, grad_losses, x, spread, classes, places, kept, grad_input):
    size = kept.size // KINDS
    for job in range(start, stop):
        p = path(x, job, classes, places)
        place, count = _places(p, classes, places)
        tops, logs = _get(kept, TOP, place, count, p), _get(kept, LOG_SUM, place, count, p)
        weights, peaks = _get(kept, WEIGHT, place, count, p), _get(kept, PEAK, place, count, p)
        labels, grads = _get(kept, LABEL, place, count, p), _get(grad_losses, 0, place, count, p)
        # The class in each lane, as a number of x's dtype like the label.
        c = (counting(x), counting(x) + lanes(x)) if p.shrink else (splat(x, 0), splat(x, 0))
        step = width(x) if p.shrink else 1
        for line in range(p.lines):
            for v in range(VECTORS):
                probability = exp_below_zero((read(x, p, line, v, 0) - tops[v]) - logs[v])
                share = select(c[v] == labels[v], peaks[v], 0)
                if spread.size:
                    share += _spread(spread, x, p, line, v)
                write(grad_input, p, line, v, grads[v] * (probability * weights[v] - share))
                c = tuple_setitem(c, v, c[v] + step)
        for i in range(count):
            if kept[LABEL * size + place + i] < 0:
                for k in range(classes):
                    grad_input[p.at + k * places + i] = 0


def cross_entropy_forward(x, labels, peak, spread):
    """Return the losses (N, places), and what the gradient needs beside x."""
    n, classes, places = x.shape
    kept = np.empty(KINDS * n * places, x.dtype)
    launch(
        _forward, paths(x, n, places), x.ravel(), labels.ravel(), peak, spread.ravel(), classes, places, kept,
        work=4 * classes * min(places, VECTORS * lanes(x)),
    )  # fmt: skip
    return kept[: n * places].reshape(n, places), (kept, spread)


def cross_entropy_grad_input(grad_losses, x, kept):
    """grad_input_c = grad_loss * (softmax(x)_c * (sum of the shares) - share_c)."""
    n, classes, places = x.shape
    of_places, spread = kept
    grad_input = np.empty(x.shape, x.dtype)
    launch(
        _grad_input, paths(x, n, places), grad_losses.ravel(), x.ravel(), spread.ravel(), classes, places, of_places,
        grad_input.ravel(), work=4 * classes * min(places, VECTORS * lanes(x)),
    )  # fmt: skip
    return grad_input
