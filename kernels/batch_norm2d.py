"""Batch normalisation, fast. Read reference/batch_norm2d.py first.

Arithmetic is free here, memory is not: what counts is how often an image travels through it.

- The statistics take one pass. The two of the textbook (mean, then squares around it) become one if every value is
  taken relative to its channel's first: near enough to the mean for float64 sums to keep the variance of 10000 ± 1.
- Residual and ReLU are part of the pass that normalises, and no mask is kept for the gradient: whether an output was
  cut off follows from x again. Only after a residual was added must the output itself be asked.
- The normalising itself runs in the dtype of the array. ``x - mean`` with the mean rounded to float32 would be
  wrong by up to 0.0005 at x = 10000, so the mean comes in two parts: (x - high) is exact near the mean, and the
  rest of the mean goes into the shift.
- A job is a channel where something is summed, else an image plane.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import (
    fma,
    lane,
    lanes,
    load_part,
    maximum,
    minimum,
    select,
    splat,
    store_part,
    tuple_setitem,
    widen,
)
from minicnn.kernels.simd import total as add_lanes

# Where an activation cuts off, below and above. Nothing compares with NaN, so that it is no bound at all.
_BOUNDS = {None: (np.nan, np.nan), "relu": (0.0, np.nan), "relu6": (0.0, 6.0)}


@kernel
def _total(parts):
    """Add up all lanes of a tuple of vectors."""
    total = 0.0
    for part in parts:
        total += lane(add_lanes(part), 0)
    return total


@kernel
def _statistics(start, stop, x, n, channels, pixels, mean, var):
    for c in range(start, stop):
        first = x[c * pixels]
        sums = squares = widen(splat(x, 0))
        for b in range(n):
            at = (b * channels + c) * pixels
            for i in range(0, pixels, lanes(x)):
                parts = widen(load_part(x, at + i, pixels - i, first))
                for j in range(len(parts)):
                    away = parts[j] - first
                    sums = tuple_setitem(sums, j, sums[j] + away)
                    squares = tuple_setitem(squares, j, fma(away, away, squares[j]))
        distance = _total(sums) / (n * pixels)
        mean[c] = first + distance
        var[c] = _total(squares) / (n * pixels) - distance * distance


@kernel
def _line(x, c, mean, inv_std, weight, bias):
    """Return high, scale, shift of channel c: ``(x - high) * scale + shift`` is the normalised x."""
    high, scale = x.dtype.type(mean[c]), weight[c] * inv_std[c]
    return high, scale, bias[c] - (mean[c] - high) * scale


@kernel
def _forward(start, stop, x, channels, pixels, mean, inv_std, weight, bias, residual, low, top, out):
    for plane in range(start, stop):
        high, scale, shift = _line(x, plane % channels, mean, inv_std, weight, bias)
        at = plane * pixels
        for i in range(0, pixels, lanes(x)):
            y = fma(load_part(x, at + i, pixels - i, 0) - high, scale, shift)
            if residual.size:
                y = y + load_part(residual, at + i, pixels - i, 0)
            store_part(out, at + i, pixels - i, minimum(top, maximum(low, y)))


@kernel
def _let_through(g, y, low, top):
    """Return g where the activation let y through, else 0."""
    return select(y <= low, 0, select(y >= top, 0, g))


@kernel
def _grad_weight_bias(
    start, stop, grad_out, x, n, channels, pixels, mean, inv_std, weight, bias, out, low, top,
    grad_residual, grad_weight, grad_bias,
):  # fmt: skip
    for c in range(start, stop):
        high, scale, shift = _line(x, c, mean, inv_std, weight, bias)
        sums = products = widen(splat(x, 0))
        for b in range(n):
            at = (b * channels + c) * pixels
            for i in range(0, pixels, lanes(x)):
                g = load_part(grad_out, at + i, pixels - i, 0)
                away = load_part(x, at + i, pixels - i, high) - high
                if out.size:
                    g = _let_through(g, load_part(out, at + i, pixels - i, 0), low, top)
                    store_part(grad_residual, at + i, pixels - i, g)
                else:
                    g = _let_through(g, fma(away, scale, shift), low, top)
                gs, aways = widen(g), widen(away)
                for j in range(len(gs)):
                    sums = tuple_setitem(sums, j, sums[j] + gs[j])
                    products = tuple_setitem(products, j, fma(gs[j], aways[j], products[j]))
        grad_bias[c] = _total(sums)
        grad_weight[c] = (_total(products) - (mean[c] - high) * grad_bias[c]) * inv_std[c]


@kernel
def _grad_input(
    start, stop, grad_out, x, n, channels, pixels, mean, inv_std, weight, bias, low, top,
    training, grad_weight, grad_bias, grad_input,
):  # fmt: skip
    share = 1 / (n * pixels)
    for plane in range(start, stop):
        c, at = plane % channels, plane * pixels
        high, scale, shift = _line(x, c, mean, inv_std, weight, bias)
        slope = -share * grad_weight[c] * inv_std[c] * scale
        level = -share * grad_bias[c] * scale - (mean[c] - high) * slope
        for i in range(0, pixels, lanes(x)):
            away = load_part(x, at + i, pixels - i, 0) - high
            g = load_part(grad_out, at + i, pixels - i, 0)
            g = _let_through(g, fma(away, scale, shift), low, top) * scale
            if training:
                g = g + fma(away, slope, level)
            store_part(grad_input, at + i, pixels - i, g)


def batch_norm2d_statistics(x):
    """Return the mean and the (biased) variance of each channel, in double precision."""
    n, channels, h, w = x.shape
    mean, var = np.empty(channels), np.empty(channels)
    launch(_statistics, channels, x.reshape(-1), n, channels, h * w, mean, var, work=n * h * w)
    return mean, var


def batch_norm2d_forward(x, mean, inv_std, weight, bias, residual=None, *, activation=None):
    """Normalise, scale, shift, add the residual (same shape as x), cut off."""
    n, channels, h, w = x.shape
    out = np.empty_like(x)
    launch(
        _forward, n * channels, x.reshape(-1), channels, h * w, mean, inv_std, weight, bias, _flat(residual, x),
        *_BOUNDS[activation], out.reshape(-1), work=h * w,
    )  # fmt: skip
    return out


def batch_norm2d_grad_weight_bias(grad_out, x, mean, inv_std, weight, bias, out=None, *, activation=None):
    """Return the gradients of weight, sum of g * normal, and of bias, sum of g, and g, that of the residual.

    g is the part of grad_out that the activation lets through. Where ``out``, the output, is not given, no residual
    was added: out follows from x again, and None is returned for g.
    """
    n, channels, h, w = x.shape
    grad_weight, grad_bias = np.empty(channels), np.empty(channels)
    grad_residual = None if out is None else np.empty_like(x)
    launch(
        _grad_weight_bias, channels, grad_out.reshape(-1), x.reshape(-1), n, channels, h * w, mean, inv_std, weight,
        bias, _flat(out, x), *_BOUNDS[activation], _flat(grad_residual, x), grad_weight, grad_bias, work=n * h * w,
    )  # fmt: skip
    return grad_weight, grad_bias, grad_residual


def batch_norm2d_grad_input(grad_out, x, mean, inv_std, weight, bias, sums=None, *, activation=None):
    """Training: a pixel also moves the mean and the variance, and through them every output of its channel.

    That takes from g, the part of grad_out that the activation lets through, its mean and its part along ``normal``,
    which follow from ``sums`` = (grad_weight, grad_bias). In inference there is nothing to take away: ``sums`` is None.
    """
    n, channels, h, w = x.shape
    grad_input = np.empty_like(x)
    launch(
        _grad_input, n * channels, grad_out.reshape(-1), x.reshape(-1), n, channels, h * w, mean, inv_std, weight,
        bias, *_BOUNDS[activation], sums is not None, *(sums or (mean, mean)), grad_input.reshape(-1), work=h * w,
    )  # fmt: skip
    return grad_input


def _flat(array, x):
    """Return the memory of ``array`` as one axis, nothing of x's dtype if there is no array."""
    return np.empty(0, x.dtype) if array is None else array.reshape(-1)
