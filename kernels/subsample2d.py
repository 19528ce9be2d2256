"""LeNet-5's trainable subsampling, fast. Read reference/subsample2d.py first.

A job is one image plane; for the gradient of the weights it is one map of the whole batch, whose long sum is
kept in float64.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel
def _forward(start, stop, x, weight, bias, out):
    _, h_out, w_out = out.shape
    for plane in range(start, stop):
        ch = plane % weight.size
        for oy in range(h_out):
            upper, lower = x[plane, 2 * oy], x[plane, 2 * oy + 1]
            for ox in range(w_out):
                block = (upper[2 * ox] + upper[2 * ox + 1]) + (lower[2 * ox] + lower[2 * ox + 1])
                out[plane, oy, ox] = weight[ch] * block + bias[ch]


@kernel
def _grad_input(start, stop, grad_out, weight, grad_input):
    _, h_out, w_out = grad_out.shape
    for plane in range(start, stop):
        factor = weight[plane % weight.size]
        for oy in range(h_out):
            upper, lower = grad_input[plane, 2 * oy], grad_input[plane, 2 * oy + 1]
            for ox in range(w_out):
                share = factor * grad_out[plane, oy, ox]
                upper[2 * ox] = share
                upper[2 * ox + 1] = share
                lower[2 * ox] = share
                lower[2 * ox + 1] = share


@kernel
def _grad_weight(start, stop, grad_out, x, grad_weight):
    n, _, h_out, w_out = grad_out.shape
    for ch in range(start, stop):
        total = 0.0
        for b in range(n):
            for oy in range(h_out):
                upper, lower = x[b, ch, 2 * oy], x[b, ch, 2 * oy + 1]
                for ox in range(w_out):
                    block = (upper[2 * ox] + upper[2 * ox + 1]) + (lower[2 * ox] + lower[2 * ox + 1])
                    total += grad_out[b, ch, oy, ox] * block
        grad_weight[ch] = total


def subsample2d_forward(x, weight, bias):
    """Return (N, C, H / 2, W / 2) from x (N, C, H, W), weight (C,), bias (C,)."""
    n, c, h, w = x.shape
    out = np.empty((n, c, h // 2, w // 2), x.dtype)
    planes = (n * c, h // 2, w // 2)
    launch(_forward, n * c, x.reshape(n * c, h, w), weight, bias, out.reshape(planes), work=h * w)
    return out


def subsample2d_grad_input(grad_out, weight):
    """Give each of the four pixels of a block the weight times the output's gradient."""
    n, c, h_out, w_out = grad_out.shape
    grad_input = np.empty((n, c, 2 * h_out, 2 * w_out), grad_out.dtype)
    planes = grad_input.reshape(n * c, 2 * h_out, 2 * w_out)
    launch(_grad_input, n * c, grad_out.reshape(n * c, h_out, w_out), weight, planes, work=4 * h_out * w_out)
    return grad_input


def subsample2d_grad_weight(grad_out, x):
    """Add up, for each map, output gradient times block sum."""
    n, c, h_out, w_out = grad_out.shape
    grad_weight = np.empty(c, grad_out.dtype)
    launch(_grad_weight, c, grad_out, x, grad_weight, work=4 * n * h_out * w_out)
    return grad_weight


def subsample2d_grad_bias(grad_out):
    """Add up the output gradients of each map."""
    return grad_out.sum(axis=(0, 2, 3))
