"""Each value divided by a power of the squares around it in the neighbouring channels.

denominator[b, c] = k + alpha * sum over the window of x[b, j]^2
out[b, c]         = x[b, c] / denominator[b, c] ^ beta

The window holds ``size`` channels, ``c - size // 2`` first; at the first and last channels it is cut off.
"""

import numpy as np


def _window(c, channels, size):
    first = c - size // 2
    return range(max(first, 0), min(first + size, channels))


def _denominator(x, b, c, y, xx, size, alpha, k):
    total = k
    for j in _window(c, x.shape[1], size):
        total += alpha * x[b, j, y, xx] ** 2
    return total


def local_response_norm_forward(x, *, size, alpha, beta, k):
    """Return out, of the shape of x (N, C, H, W)."""
    out = np.empty_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            for y in range(x.shape[2]):
                for xx in range(x.shape[3]):
                    d = _denominator(x, b, c, y, xx, size, alpha, k)
                    out[b, c, y, xx] = x[b, c, y, xx] / d**beta
    return out


def local_response_norm_grad_input(grad_out, x, *, size, alpha, beta, k):
    """Each output depends on its own value directly, and on its whole window through the denominator."""
    grad_input = np.zeros_like(x)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            for y in range(x.shape[2]):
                for xx in range(x.shape[3]):
                    d = _denominator(x, b, c, y, xx, size, alpha, k)
                    g, value = grad_out[b, c, y, xx], x[b, c, y, xx]
                    grad_input[b, c, y, xx] += g / d**beta
                    for j in _window(c, x.shape[1], size):
                        grad_input[b, j, y, xx] -= g * value * beta / d ** (beta + 1) * 2 * alpha * x[b, j, y, xx]
    return grad_input
