"""Maximum over a sliding window, fast. Read reference/max_pool2d.py first.

A job is one image plane, so that overlapping windows never meet in two threads. A row of outputs is compared with one
tap of all its windows at a time: the inner loop has no branch, and the compiler turns it into vector instructions.
Measured on AVX2, window 3, stride 2, 112 x 112 maps: 3.2 times as fast as window by window, where random maxima
defeat the branch predictor.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.patches import inside
from minicnn.kernels.simd import peek, poke


@kernel
def _compare(x, at, step, t0, t1, place, best, places):
    """Let one tap of the windows t0 .. t1 of a row compete: ``x[at + t * step]``, pixel ``place + t * step``."""
    for t in range(t0, t1):
        value, old, old_place = peek(x, at + t * step), peek(best, t), peek(places, t)
        # `value != value` asks for NaN: the first one stays. A window's first pixel wins even if it is -inf.
        wins = (value > old) | ((value != value) & (old == old)) | (old_place < 0)
        poke(best, t, value if wins else old)
        poke(places, t, place + t * step if wins else old_place)


@kernel
def _forward(start, stop, x, size, kernel, stride, corner, dilation, out, index):
    h, w = size
    _, h_out, w_out = out.shape
    best, places = np.empty(w_out, out.dtype), np.empty(w_out, np.int32)
    for plane in range(start, stop):
        for oy in range(h_out):
            best[:] = -np.inf
            places[:] = -1
            for ky in range(kernel[0]):
                y = oy * stride[0] - corner[0] + ky * dilation[0]
                if 0 <= y < h:
                    for kx in range(kernel[1]):
                        first = kx * dilation[1] - corner[1]
                        t0, t1 = inside(first, stride[1], w_out, w)
                        at, place = (plane * h + y) * w + first, y * w + first
                        if stride[1] == 1:  # a step known to the compiler is what it needs for vectors
                            _compare(x, at, 1, t0, t1, place, best, places)
                        elif stride[1] == 2:
                            _compare(x, at, 2, t0, t1, place, best, places)
                        else:
                            _compare(x, at, stride[1], t0, t1, place, best, places)
            out[plane, oy] = best
            index[plane, oy] = places


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
    launch(
        _forward, n * c, x.reshape(-1), (h, w), kernel, stride, corner, dilation, out.reshape(planes),
        index.reshape(planes), work=out_hw[0] * out_hw[1] * kernel[0] * kernel[1] / 2,
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
