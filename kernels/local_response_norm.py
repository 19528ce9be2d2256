"""Division by the squares in neighbouring channels, fast. Read reference/local_response_norm.py first.

- A job is a strip of pixels of one image through all its channels: the inner loops run along the strip
  (contiguous, hence SIMD), and the window's channels are still in the cache when the next channel wants them.
- The general power is a library call an element; the papers' beta = 3/4 is two square roots.
- The gradient pass turns the window round: it gathers, for channel j, the channels whose window holds j.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch

STRIP = 256  # pixels: 256 channels of float32 are then 256 KiB


@kernel
def _power(base, beta, out):
    """Write base ^ beta to out."""
    if beta == 0.75:
        for i in range(base.size):
            root = np.sqrt(base[i])
            out[i] = root * np.sqrt(root)
    else:
        for i in range(base.size):
            out[i] = base[i] ** beta


@kernel
def _forward(start, stop, x, before, after, alpha, beta, k, out, denominator):
    _, channels, pixels = x.shape
    strips = -(-pixels // STRIP)
    power = np.empty(STRIP, x.dtype)
    for job in range(start, stop):
        b, first = job // strips, job % strips * STRIP
        last = min(first + STRIP, pixels)
        for c in range(channels):
            d = denominator[b, c, first:last]
            d[:] = 0
            for j in range(max(c - before, 0), min(c + after + 1, channels)):
                value = x[b, j, first:last]
                for i in range(d.size):
                    d[i] += value[i] * value[i]
            for i in range(d.size):
                d[i] = k + alpha * d[i]
            _power(d, beta, power)
            for i in range(d.size):
                out[b, c, first + i] = x[b, c, first + i] / power[i]


@kernel
def _grad_input(start, stop, grad_out, x, denominator, before, after, slope, beta, grad_input):
    _, channels, pixels = x.shape
    strips = -(-pixels // STRIP)
    power = np.empty(STRIP, x.dtype)
    total = np.empty(STRIP, x.dtype)
    through = np.empty((channels, STRIP), x.dtype)  # what flows into each denominator, but for a factor
    for job in range(start, stop):
        b, first = job // strips, job % strips * STRIP
        last = min(first + STRIP, pixels)
        for c in range(channels):
            d = denominator[b, c, first:last]
            _power(d, beta, power)
            for i in range(d.size):
                direct = grad_out[b, c, first + i] / power[i]
                grad_input[b, c, first + i] = direct
                through[c, i] = direct * x[b, c, first + i] / d[i]
        for j in range(channels):
            total[:] = 0
            for c in range(max(j - after, 0), min(j + before + 1, channels)):
                for i in range(last - first):
                    total[i] += through[c, i]
            for i in range(last - first):
                grad_input[b, j, first + i] -= slope * x[b, j, first + i] * total[i]


def _launch(run, x, size, arrays, factors, results):
    """Run on arrays seen as (N, C, pixels), with factors in their dtype: a float64 would drag the rest along."""
    n, c, h, w = x.shape
    flat = [a.reshape(n, c, h * w) for a in (*arrays, *results)]
    factors = [x.dtype.type(factor) for factor in factors]
    before, after = size // 2, (size - 1) // 2
    strips = -(-(h * w) // STRIP)
    inputs, outputs = flat[: len(arrays)], flat[len(arrays) :]
    launch(run, n * strips, *inputs, before, after, *factors, *outputs, work=c * STRIP * (size + 20))


def local_response_norm_forward(x, *, size, alpha, beta, k):
    """Return out and denominator, both of the shape of x (N, C, H, W)."""
    out, denominator = np.empty_like(x), np.empty_like(x)
    _launch(_forward, x, size, [x], [alpha, beta, k], [out, denominator])
    return out, denominator


def local_response_norm_grad_input(grad_out, x, denominator, *, size, alpha, beta):
    """Each output depends on its own value directly, and on its whole window through the denominator."""
    grad_input = np.empty_like(x)
    _launch(_grad_input, x, size, [grad_out, x, denominator], [2 * alpha * beta, beta], [grad_input])
    return grad_input
