"""Mean over a sliding window.

out[b, c, oy, ox] = sum over (ky, kx) of x[b, c, oy * stride + ky - top, ...] / count

Pixels outside the image add nothing. Whether they count is an option: ``count`` is the number of pixels
of the window that lie in the image, or in the padded image. What overhangs even the padding (``ceil_mode``)
never counts. ``geometry.pool_window`` says so for one axis.
"""

import numpy as np

from minicnn.kernels.geometry import pool_window


def avg_pool2d_forward(x, *, kernel, stride, padding, out_hw, count_include_pad):
    """Return the means (N, C, H_out, W_out) of x (N, C, H, W)."""
    n, c, h, w = x.shape
    out = np.zeros((n, c, *out_hw), x.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(out_hw[0]):
                for ox in range(out_hw[1]):
                    y0, y1, rows = pool_window(oy, h, kernel[0], stride[0], padding[0], count_include_pad)
                    x0, x1, cols = pool_window(ox, w, kernel[1], stride[1], padding[1], count_include_pad)
                    for y in range(y0, y1):
                        for xx in range(x0, x1):
                            out[b, ch, oy, ox] += x[b, ch, y, xx] / (rows * cols)
    return out


def avg_pool2d_grad_input(grad_out, *, input_shape, kernel, stride, padding, count_include_pad):
    """Give each pixel of a window its share of the output's gradient; windows overlap, so add."""
    n, c, h, w = input_shape
    grad_input = np.zeros(input_shape, grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(grad_out.shape[2]):
                for ox in range(grad_out.shape[3]):
                    y0, y1, rows = pool_window(oy, h, kernel[0], stride[0], padding[0], count_include_pad)
                    x0, x1, cols = pool_window(ox, w, kernel[1], stride[1], padding[1], count_include_pad)
                    for y in range(y0, y1):
                        for xx in range(x0, x1):
                            grad_input[b, ch, y, xx] += grad_out[b, ch, oy, ox] / (rows * cols)
    return grad_input
