"""Maximum over a sliding window, fast. Read reference/max_pool2d.py first.

A job is one image plane, so that overlapping windows never meet in two threads.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel
def _forward(start, stop, x, kernel, stride, corner, dilation, out, index):
    _, h, w = x.shape
    _, h_out, w_out = out.shape
    for plane in range(start, stop):
        for oy in range(h_out):
            for ox in range(w_out):
                y0, x0 = oy * stride[0] - corner[0], ox * stride[1] - corner[1]
                best, place = -np.inf, -1
                for ky in range(kernel[0]):
                    y = y0 + ky * dilation[0]
                    if 0 <= y < h:
                        for kx in range(kernel[1]):
                            xx = x0 + kx * dilation[1]
                            if 0 <= xx < w:
                                value = x[plane, y, xx]
                                # `value != value` asks for NaN: the first one stays.
                                if place < 0 or value > best or (value != value and best == best):
                                    best, place = value, y * w + xx
                out[plane, oy, ox] = best
                index[plane, oy, ox] = place


@kernel
def _grad_input(start, stop, grad_out, index, grad_input):
    for plane in range(start, stop):
        for i in range(grad_out.shape[1]):
            place = index[plane, i]
            if place >= 0:
                grad_input[plane, place] += grad_out[plane, i]


def max_pool2d_forward(x, *, kernel, stride, padding, dilation, out_hw):
    """Return the maxima and, for each, where it was found: y * W + x in its image (-1: nowhere)."""
    n, c, h, w = x.shape
    out = np.empty((n, c, *out_hw), x.dtype)
    index = np.empty((n, c, *out_hw), np.int32)
    planes = (n * c, *out_hw)
    corner = (padding[0][0], padding[1][0])
    work = out_hw[0] * out_hw[1] * kernel[0] * kernel[1]
    launch(
        _forward, n * c, x.reshape(n * c, h, w), kernel, stride, corner, dilation,
        out.reshape(planes), index.reshape(planes), work=work,
    )  # fmt: skip
    return out, index


def max_pool2d_grad_input(grad_out, index, *, input_shape):
    """Give each output's gradient to the pixel that was its maximum; windows overlap, so add."""
    n, c, h, w = input_shape
    grad_input = np.zeros(input_shape, grad_out.dtype)
    flat = (n * c, grad_out.shape[2] * grad_out.shape[3])
    launch(
        _grad_input, n * c, grad_out.reshape(flat), index.reshape(flat), grad_input.reshape(n * c, h * w), work=h * w
    )
    return grad_input
