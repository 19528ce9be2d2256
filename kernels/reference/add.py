"""Sum of two arrays, element by element, with broadcasting.

out[place] = a[place] + b[place]

An array with fewer axes, or with size 1 along one, is read again and again there: its one value goes to many
places, so its gradient is the sum over these places.
"""

import numpy as np


def add_forward(a, b):
    """Return a + b in the shape that both broadcast to."""
    out = np.zeros(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    a, b = np.broadcast_to(a, out.shape), np.broadcast_to(b, out.shape)
    for place in np.ndindex(out.shape):
        out[place] = a[place] + b[place]
    return out


def add_grad_input(grad_out, *, input_shape):
    """Return the gradient of an operand of shape ``input_shape``: the sum over the places it was copied to."""
    grad_input = np.zeros(input_shape, grad_out.dtype)
    new_axes = grad_out.ndim - grad_input.ndim
    for place in np.ndindex(grad_out.shape):
        source = tuple(0 if size == 1 else i for i, size in zip(place[new_axes:], input_shape, strict=True))
        grad_input[source] += grad_out[place]
    return grad_input
