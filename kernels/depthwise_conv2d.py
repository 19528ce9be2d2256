"""Depthwise convolution, fast. Read reference/depthwise_conv2d.py first.

Nothing is summed over channels, so there is no matrix product to gain from: 9 multiplications for each pixel
that comes from memory. A tap at a time, the inner loop runs along a row of the image, which the compiler turns
into vector instructions; the plane stays in the first-level cache meanwhile.
"""

import numpy as np

from minicnn.kernels.conv2d import CHUNKS, conv2d_grad_bias
from minicnn.kernels.patches import inside
from minicnn.kernels.jit import kernel, launch


@kernel
def _forward(start, stop, x, weight, bias, c_in, c_out, stride, corner, dilation, out):
    """Job: one output plane."""
    _, h, w = x.shape
    _, h_out, w_out = out.shape
    _, kh, kw = weight.shape
    for plane in range(start, stop):
        oc = plane % c_out
        source = plane // c_out * c_in + oc // (c_out // c_in)
        for oy in range(h_out):
            for ox in range(w_out):
                out[plane, oy, ox] = bias[oc]
            for ky in range(kh):
                y = oy * stride[0] + ky * dilation[0] - corner[0]
                if 0 <= y < h:
                    for kx in range(kw):
                        first = kx * dilation[1] - corner[1]
                        tap = weight[oc, ky, kx]
                        t0, t1 = inside(first, stride[1], w_out, w)
                        for ox in range(t0, t1):
                            out[plane, oy, ox] += tap * x[source, y, first + ox * stride[1]]


@kernel
def _grad_input(start, stop, grad_out, weight, c_in, c_out, stride, corner, dilation, grad_input):
    """Job: one input plane."""
    _, h, w = grad_input.shape
    _, h_out, w_out = grad_out.shape
    _, kh, kw = weight.shape
    multiplier = c_out // c_in
    for plane in range(start, stop):
        b, ic = plane // c_in, plane % c_in
        for oc in range(ic * multiplier, (ic + 1) * multiplier):
            for oy in range(h_out):
                for ky in range(kh):
                    y = oy * stride[0] + ky * dilation[0] - corner[0]
                    if 0 <= y < h:
                        for kx in range(kw):
                            first = kx * dilation[1] - corner[1]
                            tap = weight[oc, ky, kx]
                            t0, t1 = inside(first, stride[1], w_out, w)
                            for ox in range(t0, t1):
                                grad_input[plane, y, first + ox * stride[1]] += tap * grad_out[b * c_out + oc, oy, ox]


@kernel
def _grad_weight(start, stop, grad_out, x, n, c_in, c_out, stride, corner, dilation, sums):
    """Job: one filter, over one chunk of the batch. ``sums`` is (chunks, C_out, KH, KW)."""
    _, h, w = x.shape
    _, h_out, w_out = grad_out.shape
    chunks, _, kh, kw = sums.shape
    row = np.zeros(w_out, sums.dtype)
    for job in range(start, stop):
        chunk, oc = job // c_out, job % c_out
        for ky in range(kh):
            for kx in range(kw):
                first = kx * dilation[1] - corner[1]
                t0, t1 = inside(first, stride[1], w_out, w)
                row[:] = 0
                for b in range(n * chunk // chunks, n * (chunk + 1) // chunks):
                    source = b * c_in + oc // (c_out // c_in)
                    for oy in range(h_out):
                        y = oy * stride[0] + ky * dilation[0] - corner[0]
                        if 0 <= y < h:
                            for ox in range(t0, t1):
                                row[ox] += grad_out[b * c_out + oc, oy, ox] * x[source, y, first + ox * stride[1]]
                sums[chunk, oc, ky, kx] = row.sum()


def _planes(array):
    n, c, h, w = array.shape
    return array.reshape(n * c, h, w)


def depthwise_conv2d_forward(x, weight, bias, *, stride, padding, dilation, out_hw):
    """X (N, C, H, W), weight (C * m, 1, KH, KW), bias (C * m,) or None -> (N, C * m, H_out, W_out)."""
    (n, c_in), (c_out, _, kh, kw) = x.shape[:2], weight.shape
    out = np.empty((n, c_out, *out_hw), x.dtype)
    start = np.zeros(c_out, x.dtype) if bias is None else bias
    launch(
        _forward, n * c_out, _planes(x), _planes(weight), start, c_in, c_out, stride, (padding[0][0], padding[1][0]),
        dilation, _planes(out), work=out_hw[0] * out_hw[1] * kh * kw / 4,
    )  # fmt: skip
    return out


def depthwise_conv2d_grad_input(grad_out, weight, *, input_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out) -> (N, C, H, W)."""
    (n, c_in), (c_out, _, kh, kw) = input_shape[:2], weight.shape
    grad_input = np.zeros(input_shape, grad_out.dtype)
    work = grad_out.shape[2] * grad_out.shape[3] * kh * kw / 4
    launch(
        _grad_input, n * c_in, _planes(grad_out), _planes(weight), c_in, c_out, stride,
        (padding[0][0], padding[1][0]), dilation, _planes(grad_input), work=work,
    )  # fmt: skip
    return grad_input


def depthwise_conv2d_grad_weight(grad_out, x, *, weight_shape, stride, padding, dilation):
    """grad_out (N, C * m, H_out, W_out), x (N, C, H, W) -> (C * m, 1, KH, KW)."""
    n, c_in = x.shape[:2]
    c_out, _, kh, kw = weight_shape
    chunks = max(1, min(n, CHUNKS // c_out))
    sums = np.empty((chunks, c_out, kh, kw), x.dtype)
    launch(
        _grad_weight, chunks * c_out, _planes(grad_out), _planes(x), n, c_in, c_out, stride,
        (padding[0][0], padding[1][0]), dilation, sums, work=grad_out.size / c_out / chunks * kh * kw / 4,
    )  # fmt: skip
    return sums.sum(axis=0)[:, None]


depthwise_conv2d_grad_bias = conv2d_grad_bias
