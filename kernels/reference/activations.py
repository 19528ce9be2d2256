"""The functions between layers: relu, relu6, tanh, sigmoid, and LeNet-5's scaled tanh.

Each works on every element alone, and each slope can be told from the output, so the output is all that a
gradient needs. At a corner the slope is 0. NaN stays NaN, and its gradient passes.
"""

import numpy as np

# A and S, for which f(1) = 1 and f(-1) = -1 nearly: LeCun et al. 1998, equation 6 and appendix A.
AMPLITUDE, SLOPE = 1.7159, 2 / 3


def _each(rule, *arrays):
    """Apply ``rule`` to the elements, one by one."""
    out = np.empty_like(arrays[0])
    for place in np.ndindex(out.shape):
        out[place] = rule(*(array[place] for array in arrays))
    return out


def relu_forward(x):
    """max(a, 0)"""
    return _each(lambda a: 0 if a <= 0 else a, x)


def relu_grad_input(grad_out, out):
    """grad_out times the slope, 1 where out > 0, else 0."""
    return _each(lambda g, y: 0 if y <= 0 else g, grad_out, out)


def relu6_forward(x):
    """min(max(a, 0), 6)"""
    return _each(lambda a: 0 if a <= 0 else 6 if a >= 6 else a, x)


def relu6_grad_input(grad_out, out):
    """grad_out times the slope, 1 where 0 < out < 6, else 0."""
    return _each(lambda g, y: 0 if y <= 0 or y >= 6 else g, grad_out, out)


def tanh_forward(x):
    """(exp(a) - exp(-a)) / (exp(a) + exp(-a))"""
    return _each(np.tanh, x)


def tanh_grad_input(grad_out, out):
    """grad_out times the slope, 1 - out²."""
    return _each(lambda g, y: g * (1 - y * y), grad_out, out)


def sigmoid_forward(x):
    """1 / (1 + exp(-a))"""
    # Either form of 1 / (1 + exp(-a)) would overflow on one side; each is used on the other.
    return _each(lambda a: 1 / (1 + np.exp(-a)) if a.real >= 0 else np.exp(a) / (1 + np.exp(a)), x)


def sigmoid_grad_input(grad_out, out):
    """grad_out times the slope, out * (1 - out)."""
    return _each(lambda g, y: g * y * (1 - y), grad_out, out)


def scaled_tanh_forward(x):
    """A tanh(S a)"""
    return _each(lambda a: AMPLITUDE * np.tanh(SLOPE * a), x)


def scaled_tanh_grad_input(grad_out, out):
    """grad_out times the slope, S * (A - out² / A)."""
    return _each(lambda g, y: g * SLOPE * (AMPLITUDE - y * y / AMPLITUDE), grad_out, out)
