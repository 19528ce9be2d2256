"""Product of two arrays, element by element, with broadcasting.

out[place] = a[place] * b[place]

A value read in many places (see add.py) has as its gradient the sum over these places.
"""

import numpy as np


def mul_forward(a, b):
    """Return a * b in the shape that both broadcast to."""
    out = np.zeros(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    a, b = np.broadcast_to(a, out.shape), np.broadcast_to(b, out.shape)
    for place in np.ndindex(out.shape):
        out[place] = a[place] * b[place]
    return out


def mul_grad_input(grad_out, other, *, input_shape):
    """Return the gradient of the operand of shape ``input_shape``; ``other`` is the other one."""
    grad_input = np.zeros(input_shape, grad_out.dtype)
    other = np.broadcast_to(other, grad_out.shape)
    new_axes = grad_out.ndim - grad_input.ndim
    for place in np.ndindex(grad_out.shape):
        source = tuple(0 if size == 1 else i for i, size in zip(place[new_axes:], input_shape, strict=True))
        grad_input[source] += grad_out[place] * other[place]
    return grad_input
