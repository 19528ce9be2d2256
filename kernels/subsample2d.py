"""LeNet-5's trainable subsampling, fast. Read reference/subsample2d.py first.

Two rows are added, then even places to odd ones, a vector at a time; the gradient is zipped back the same way: twice as
fast as pixel by pixel. A job is one image plane, for the gradient of the weights one map of the whole batch. A plane's
sum is a sum of its rows' sums, the batch's is kept in float64: long sums in float32 would lose digits.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import (
    broadcast,
    even,
    fma,
    lanes,
    load_part,
    odd,
    splat,
    store,
    store_part,
    zip_high,
    zip_low,
)


@kernel
def _blocks(x, at, w, i):
    """Return the sums of the 2 x 2 blocks from column ``i`` on of two rows from ``x[at]`` on; 0 beyond the last one."""
    n = lanes(x)
    a = load_part(x, at + i, w - i, 0) + load_part(x, at + w + i, w - i, 0)
    b = load_part(x, at + i + n, w - i - n, 0) + load_part(x, at + w + i + n, w - i - n, 0)
    return even(a, b) + odd(a, b)


@kernel
def _forward(start, stop, x, size, weight, bias, out):
    n, (h, w) = lanes(x), size
    end = stop * (h // 2) * (w // 2)
    for plane in range(start, stop):
        factor, shift = broadcast(weight, plane % weight.size), broadcast(bias, plane % weight.size)
        for oy in range(plane * (h // 2), (plane + 1) * (h // 2)):
            for i in range(0, w, 2 * n):  # what is too long for a row is written over by the next one
                to = oy * (w // 2) + i // 2
                store_part(out, to, end - to, fma(factor, _blocks(x, oy * 2 * w, w, i), shift))


@kernel
def _grad_input(start, stop, grad_out, size, weight, grad_input):
    n, (h, w) = lanes(grad_out), size
    end = stop * h * w
    for plane in range(start, stop):
        factor = broadcast(weight, plane % weight.size)
        for y in range(plane * h, (plane + 1) * h):
            for i in range(0, w, 2 * n):
                share = factor * load_part(grad_out, y // 2 * (w // 2) + i // 2, (w - i) // 2, 0)
                store_part(grad_input, y * w + i, end - y * w - i, zip_low(share, share))
                store_part(grad_input, y * w + i + n, end - y * w - i - n, zip_high(share, share))


@kernel
def _grad_weight(start, stop, grad_out, x, n_images, size, grad_weight):
    n, (h, w) = lanes(x), size
    zero, ends = splat(x, x.dtype.type(0)), np.empty(lanes(x), x.dtype)
    for ch in range(start, stop):
        total = 0.0
        for b in range(n_images):
            plane, sums = b * grad_weight.size + ch, zero
            for oy in range(plane * (h // 2), (plane + 1) * (h // 2)):
                row = zero
                for i in range(0, w, 2 * n):
                    grads = load_part(grad_out, oy * (w // 2) + i // 2, (w - i) // 2, 0)
                    row = fma(grads, _blocks(x, oy * 2 * w, w, i), row)
                sums = sums + row
            store(ends, 0, sums)
            for i in range(n):
                total += ends[i]
        grad_weight[ch] = total


def subsample2d_forward(x, weight, bias):
    """Return (N, C, H / 2, W / 2) from x (N, C, H, W), weight (C,), bias (C,)."""
    n, c, h, w = x.shape
    out = np.empty((n, c, h // 2, w // 2), x.dtype)
    launch(_forward, n * c, x.reshape(-1), (h, w), weight, bias, out.reshape(-1), work=h * w / 4)
    return out


def subsample2d_grad_input(grad_out, weight):
    """Give each of the four pixels of a block the weight times the output's gradient."""
    n, c, h_out, w_out = grad_out.shape
    size = 2 * h_out, 2 * w_out
    grad_input = np.empty((n, c, *size), grad_out.dtype)
    launch(_grad_input, n * c, grad_out.reshape(-1), size, weight, grad_input.reshape(-1), work=h_out * w_out)
    return grad_input


def subsample2d_grad_weight(grad_out, x):
    """Add up, for each map, output gradient times block sum."""
    n, c, h, w = x.shape
    grad_weight = np.empty(c, grad_out.dtype)
    launch(_grad_weight, c, grad_out.reshape(-1), x.reshape(-1), n, (h, w), grad_weight, work=n * h * w / 4)
    return grad_weight


def subsample2d_grad_bias(grad_out):
    """Add up the output gradients of each map."""
    return grad_out.sum(axis=(0, 2, 3))
