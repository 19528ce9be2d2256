"""The functions between layers: relu, relu6, tanh, sigmoid, and LeNet-5's scaled tanh.

Each works on every element alone, and each slope can be told from the output, so the output is all that a
gradient needs:

relu         max(a, 0)                  slope 1 where out > 0
relu6        min(max(a, 0), 6)          slope 1 where 0 < out < 6
tanh                                    slope 1 - out²
sigmoid      1 / (1 + exp(-a))          slope out * (1 - out)
scaled_tanh  A tanh(S a)                slope S * (A - out² / A)

with A = 1.7159 and S = 2/3, for which f(1) = 1 and f(-1) = -1 nearly (LeCun et al. 1998, equation 6). At a
corner the slope is 0. NaN stays NaN, and its gradient passes.
"""

import numpy as np

AMPLITUDE, SLOPE = 1.7159, 2 / 3


def _each(rule, *arrays):
    """Apply ``rule`` to the elements, one by one."""
    out = np.empty_like(arrays[0])
    for place in np.ndindex(out.shape):
        out[place] = rule(*(array[place] for array in arrays))
    return out


def relu_forward(x):
    return _each(lambda a: 0 if a <= 0 else a, x)


def relu_grad_input(grad_out, out):
    return _each(lambda g, y: 0 if y <= 0 else g, grad_out, out)


def relu6_forward(x):
    return _each(lambda a: 0 if a <= 0 else 6 if a >= 6 else a, x)


def relu6_grad_input(grad_out, out):
    return _each(lambda g, y: 0 if y <= 0 or y >= 6 else g, grad_out, out)


def tanh_forward(x):
    return _each(np.tanh, x)


def tanh_grad_input(grad_out, out):
    return _each(lambda g, y: g * (1 - y * y), grad_out, out)


def sigmoid_forward(x):
    # Either form of 1 / (1 + exp(-a)) would overflow on one side; each is used on the other.
    return _each(lambda a: 1 / (1 + np.exp(-a)) if a.real >= 0 else np.exp(a) / (1 + np.exp(a)), x)


def sigmoid_grad_input(grad_out, out):
    return _each(lambda g, y: g * y * (1 - y), grad_out, out)


def scaled_tanh_forward(x):
    return _each(lambda a: AMPLITUDE * np.tanh(SLOPE * a), x)


def scaled_tanh_grad_input(grad_out, out):
    return _each(lambda g, y: g * SLOPE * (AMPLITUDE - y * y / AMPLITUDE), grad_out, out)
