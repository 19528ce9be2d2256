"""LeNet-5's trainable subsampling: the sum of each 2 x 2 block, times a weight, plus a bias, one each per map.

out[b, c, oy, ox] = weight[c] * (sum over (ky, kx) of x[b, c, 2 oy + ky, 2 ox + kx]) + bias[c]
"""

import numpy as np


def subsample2d_forward(x, weight, bias):
    """Return (N, C, H / 2, W / 2) from x (N, C, H, W), weight (C,), bias (C,)."""
    n, c, h, w = x.shape
    out = np.zeros((n, c, h // 2, w // 2), x.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(h // 2):
                for ox in range(w // 2):
                    for ky in range(2):
                        for kx in range(2):
                            out[b, ch, oy, ox] += weight[ch] * x[b, ch, 2 * oy + ky, 2 * ox + kx]
                    out[b, ch, oy, ox] += bias[ch]
    return out


def subsample2d_grad_input(grad_out, weight):
    """Give each of the four pixels of a block the weight times the output's gradient."""
    n, c, h_out, w_out = grad_out.shape
    grad_input = np.zeros((n, c, 2 * h_out, 2 * w_out), grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(h_out):
                for ox in range(w_out):
                    for ky in range(2):
                        for kx in range(2):
                            grad_input[b, ch, 2 * oy + ky, 2 * ox + kx] += weight[ch] * grad_out[b, ch, oy, ox]
    return grad_input


def subsample2d_grad_weight(grad_out, x):
    """Add up, for each map, output gradient times block sum."""
    n, c, h_out, w_out = grad_out.shape
    grad_weight = np.zeros(c, grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(h_out):
                for ox in range(w_out):
                    for ky in range(2):
                        for kx in range(2):
                            grad_weight[ch] += grad_out[b, ch, oy, ox] * x[b, ch, 2 * oy + ky, 2 * ox + kx]
    return grad_weight


def subsample2d_grad_bias(grad_out):
    """Add up the output gradients of each map."""
    n, c, h_out, w_out = grad_out.shape
    grad_bias = np.zeros(c, grad_out.dtype)
    for b in range(n):
        for ch in range(c):
            for oy in range(h_out):
                for ox in range(w_out):
                    grad_bias[ch] += grad_out[b, ch, oy, ox]
    return grad_bias
