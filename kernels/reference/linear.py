"""Every output is a weighted sum of all inputs.

out[b, o] = sum over i of x[b, i] * weight[o, i] + bias[o]
"""

import numpy as np


def linear_forward(x, weight, bias):
    """X (N, I), weight (O, I), bias (O,) or None -> (N, O)."""
    n, c_in = x.shape
    c_out = weight.shape[0]
    out = np.zeros((n, c_out), x.dtype)
    for b in range(n):
        for o in range(c_out):
            if bias is not None:
                out[b, o] = bias[o]
            for i in range(c_in):
                out[b, o] += x[b, i] * weight[o, i]
    return out


def linear_grad_input(grad_out, weight):
    """grad_out (N, O), weight (O, I) -> (N, I)."""
    n, c_out = grad_out.shape
    c_in = weight.shape[1]
    grad_input = np.zeros((n, c_in), grad_out.dtype)
    for b in range(n):
        for o in range(c_out):
            for i in range(c_in):
                grad_input[b, i] += grad_out[b, o] * weight[o, i]
    return grad_input


def linear_grad_weight(grad_out, x):
    """grad_out (N, O), x (N, I) -> (O, I)."""
    n, c_out = grad_out.shape
    c_in = x.shape[1]
    grad_weight = np.zeros((c_out, c_in), grad_out.dtype)
    for b in range(n):
        for o in range(c_out):
            for i in range(c_in):
                grad_weight[o, i] += grad_out[b, o] * x[b, i]
    return grad_weight


def linear_grad_bias(grad_out):
    """grad_out (N, O) -> (O,)."""
    n, c_out = grad_out.shape
    grad_bias = np.zeros(c_out, grad_out.dtype)
    for b in range(n):
        for o in range(c_out):
            grad_bias[o] += grad_out[b, o]
    return grad_bias
