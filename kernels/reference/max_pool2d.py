"""Maximum over a sliding window.

out[b, c, oy, ox] = max over (ky, kx) of x[b, c, oy * stride + ky * dilation - top, ...]

Pixels outside the image count as minus infinity. Of equal maxima the first in scan order (row by row) is
chosen, and it alone receives the gradient. A NaN in the window is the maximum.
"""

import numpy as np


def max_pool2d_forward(x, *, kernel, stride, padding, dilation, out_hw, keep_index):
    """Return the maxima and for each, if wanted, where it was found: y * W + x in its image (negative: nowhere)."""
    n, c, h, w = x.shape
    (kh, kw), (h_out, w_out) = kernel, out_hw
    (top, _), (left, _) = padding
    out = np.full((n, c, h_out, w_out), -np.inf, x.dtype)
    index = np.full((n, c, h_out, w_out), -1, np.int32)
    for b in range(n):
        for ch in range(c):
            for oy in range(h_out):
                for ox in range(w_out):
                    for ky in range(kh):
                        for kx in range(kw):
                            y = oy * stride[0] + ky * dilation[0] - top
                            xx = ox * stride[1] + kx * dilation[1] - left
                            if 0 <= y < h and 0 <= xx < w:
                                value, best = x[b, ch, y, xx], out[b, ch, oy, ox]
                                first = index[b, ch, oy, ox] < 0
                                if first or value > best or (np.isnan(value) and not np.isnan(best)):
                                    out[b, ch, oy, ox] = value
                                    index[b, ch, oy, ox] = y * w + xx
    return out, index if keep_index else index[:0]


def max_pool2d_grad_input(grad_out, index, *, input_shape):
    """Give each output's gradient to the pixel that was its maximum; windows overlap, so add."""
    n, c, _, w = input_shape
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(grad_out.shape[2]):
                for ox in range(grad_out.shape[3]):
                    place = index[b, ch, oy, ox]
                    if place >= 0:
                        grad_input[b, ch, place // w, place % w] += grad_out[b, ch, oy, ox]
    return grad_input
