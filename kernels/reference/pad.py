"""A border around each image: constant, mirrored, or repeating the edge pixel.

out[b, c, oy, ox] = x[b, c, source of (oy - top), source of (ox - left)]

``geometry.pad_source`` names the pixel; there is none where a constant stands.
"""

import numpy as np

from minicnn.kernels.geometry import pad_source


def pad_forward(x, *, padding, mode, value):
    """Return x (N, C, H, W) with its border: (N, C, top + H + bottom, left + W + right)."""
    n, c, h, w = x.shape
    (top, bottom), (left, right) = padding
    out = np.full((n, c, top + h + bottom, left + w + right), value, x.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(out.shape[2]):
                for ox in range(out.shape[3]):
                    y, xx = pad_source(oy - top, h, mode), pad_source(ox - left, w, mode)
                    if y >= 0 and xx >= 0:
                        out[b, ch, oy, ox] = x[b, ch, y, xx]
    return out


def pad_grad_input(grad_out, *, padding, mode):
    """Add each place's gradient to the pixel that it repeats; a constant's gradient is dropped."""
    n, c, h_out, w_out = grad_out.shape
    (top, bottom), (left, right) = padding
    h, w = h_out - top - bottom, w_out - left - right
    grad_input = np.zeros((n, c, h, w), grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(h_out):
                for ox in range(w_out):
                    y, xx = pad_source(oy - top, h, mode), pad_source(ox - left, w, mode)
                    if y >= 0 and xx >= 0:
                        grad_input[b, ch, y, xx] += grad_out[b, ch, oy, ox]
    return grad_input
