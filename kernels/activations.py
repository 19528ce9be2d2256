"""The functions between layers, fast. Read reference/activations.py first.

A job is one element; the threads get runs of neighbours. What made them fast, measured on one EPYC core in
float32:

- values are chosen (``a if ... else b`` of two numbers at hand), not branched for: the loop becomes vector
  instructions; relu's gradient takes 0.8 ns an element instead of 7.3
- Numba turns ``float32 * 2.0`` into float64, so constants get the dtype of the array before the loop
- tanh and exp are NumPy's, which have vector instructions inside (tanh 2.6 ns); Numba calls the C library (22 ns)
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.reference.activations import AMPLITUDE, SLOPE

# Scalar operations of one element, for the launcher: a few, or a call of exp or tanh.
_CHEAP, _DEAR = 1, 8


@kernel
def _relu(start, stop, x, zero, out):
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = zero if x[i] <= zero else x[i]


@kernel
def _relu_grad(start, stop, grad_out, out, zero, grad_input):
    grad_out, out, grad_input = grad_out[start:stop], out[start:stop], grad_input[start:stop]
    for i in range(grad_input.size):
        g = grad_out[i]
        grad_input[i] = zero if out[i] <= zero else g


@kernel
def _relu6(start, stop, x, zero, six, out):
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        a = zero if x[i] <= zero else x[i]
        out[i] = six if a >= six else a


@kernel
def _relu6_grad(start, stop, grad_out, out, zero, six, grad_input):
    grad_out, out, grad_input = grad_out[start:stop], out[start:stop], grad_input[start:stop]
    for i in range(grad_input.size):
        g, y = grad_out[i], out[i]
        grad_input[i] = zero if (y <= zero) | (y >= six) else g


# The next two are plain Python: NumPy releases the interpreter's lock, so threads share these loops too.


def _sigmoid(start, stop, x, minus_one, zero, one, out):
    """exp(-|a|) never overflows, and both halves of the curve follow from it."""
    piece = out[start:stop]
    np.copysign(x[start:stop], minus_one, out=piece)
    np.exp(piece, out=piece)
    _sigmoid_from_exp(start, stop, x, zero, one, out)


def _scaled_tanh(start, stop, x, amplitude, slope, out):
    """Scale, squash, scale."""
    piece = out[start:stop]
    np.multiply(x[start:stop], slope, out=piece)
    np.tanh(piece, out=piece)
    np.multiply(piece, amplitude, out=piece)


@kernel
def _sigmoid_from_exp(start, stop, x, zero, one, out):
    x, out = x[start:stop], out[start:stop]
    for i in range(out.size):
        small = out[i]
        out[i] = (small if x[i] < zero else one) / (one + small)


@kernel
def _sigmoid_grad(start, stop, grad_out, out, one, grad_input):
    grad_out, out, grad_input = grad_out[start:stop], out[start:stop], grad_input[start:stop]
    for i in range(grad_input.size):
        grad_input[i] = grad_out[i] * (out[i] * (one - out[i]))


@kernel
def _scaled_tanh_grad(start, stop, grad_out, out, amplitude, slope, grad_input):
    grad_out, out, grad_input = grad_out[start:stop], out[start:stop], grad_input[start:stop]
    for i in range(grad_input.size):
        grad_input[i] = grad_out[i] * (slope * (amplitude - out[i] * out[i] / amplitude))


def _each(loop, work, constants, *arrays):
    """Run ``loop`` over the arrays as flat ones, with the constants in their dtype; return its result."""
    result = np.empty_like(arrays[0])
    typed = [result.dtype.type(constant) for constant in constants]
    launch(loop, result.size, *(a.reshape(-1) for a in arrays), *typed, result.reshape(-1), work=work)
    return result


def relu_forward(x):
    return _each(_relu, _CHEAP, [0], x)


def relu_grad_input(grad_out, out):
    return _each(_relu_grad, _CHEAP, [0], grad_out, out)


def relu6_forward(x):
    return _each(_relu6, _CHEAP, [0, 6], x)


def relu6_grad_input(grad_out, out):
    return _each(_relu6_grad, _CHEAP, [0, 6], grad_out, out)


def tanh_forward(x):
    return _each(_scaled_tanh, _DEAR, [1, 1], x)


def tanh_grad_input(grad_out, out):
    return _each(_scaled_tanh_grad, _CHEAP, [1, 1], grad_out, out)


def sigmoid_forward(x):
    return _each(_sigmoid, _DEAR, [-1, 0, 1], x)


def sigmoid_grad_input(grad_out, out):
    return _each(_sigmoid_grad, _CHEAP, [1], grad_out, out)


def scaled_tanh_forward(x):
    return _each(_scaled_tanh, _DEAR, [AMPLITUDE, SLOPE], x)


def scaled_tanh_grad_input(grad_out, out):
    return _each(_scaled_tanh_grad, _CHEAP, [AMPLITUDE, SLOPE], grad_out, out)
