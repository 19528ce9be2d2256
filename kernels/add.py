"""Sum of two arrays, fast. Read reference/add.py first.

Two arrays of one shape (a residual connection) are added on all threads; memory is what limits them. Broadcasting,
where one array is small, is left to NumPy's compiled loops.
"""

import numpy as np

from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import lanes, load_part, store_part


@kernel
def _add(start, stop, a, b, out):
    for i in range(start, stop, lanes(a)):
        store_part(out, i, stop - i, load_part(a, i, stop - i, 0) + load_part(b, i, stop - i, 0))


def add_forward(a, b):
    """Return a + b in the shape that both broadcast to."""
    if a.shape != b.shape:
        return a + b
    out = np.empty(a.shape, a.dtype)
    launch(_add, a.size, a.reshape(-1), b.reshape(-1), out.reshape(-1), work=0.3)
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
