"""Mean over the bins of a grid: the output's size is chosen, the windows follow.

out[b, c, oy, ox] = mean of x[b, c, y, x] for y in bin oy of H_out and x in bin ox of W_out

Bins are of equal size up to rounding and overlap by a pixel where the sizes do not divide
(``geometry.adaptive_window``). One bin is the global average pool.
"""

import numpy as np

from minicnn.kernels.geometry import adaptive_window


def adaptive_avg_pool2d_forward(x, *, out_hw):
    """Return the means (N, C, *out_hw) of x (N, C, H, W)."""
    n, c, h, w = x.shape
    out = np.zeros((n, c, *out_hw), x.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(out_hw[0]):
                for ox in range(out_hw[1]):
                    y0, y1 = adaptive_window(oy, h, out_hw[0])
                    x0, x1 = adaptive_window(ox, w, out_hw[1])
                    for y in range(y0, y1):
                        for xx in range(x0, x1):
                            out[b, ch, oy, ox] += x[b, ch, y, xx] / ((y1 - y0) * (x1 - x0))
    return out


def adaptive_avg_pool2d_grad_input(grad_out, *, input_shape):
    """Give each pixel of a bin its share of the output's gradient; bins overlap, so add."""
    n, c, h, w = input_shape
    h_out, w_out = grad_out.shape[2:]
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(h_out):
                for ox in range(w_out):
                    y0, y1 = adaptive_window(oy, h, h_out)
                    x0, x1 = adaptive_window(ox, w, w_out)
                    for y in range(y0, y1):
                        for xx in range(x0, x1):
                            grad_input[b, ch, y, xx] += grad_out[b, ch, oy, ox] / ((y1 - y0) * (x1 - x0))
    return grad_input
