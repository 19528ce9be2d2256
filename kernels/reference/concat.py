"""Arrays laid end to end along one axis.

out[..., start + i, ...] = part[..., i, ...], where start is the room that the parts before it have taken

Nothing is computed: the gradient of a part is the piece of grad_out that lies where the part was laid.
"""

import numpy as np


def concat_forward(parts, *, axis):
    """Return the parts, alike except along ``axis``, as one array."""
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    out = np.zeros(shape, parts[0].dtype)
    start = 0
    for part in parts:
        for place in np.ndindex(part.shape):
            out[*place[:axis], start + place[axis], *place[axis + 1 :]] = part[place]
        start += part.shape[axis]
    return out


def concat_grad_input(grad_out, *, axis, start, size):
    """Return the gradient of the part of ``size`` along ``axis`` that was laid at ``start``."""
    shape = list(grad_out.shape)
    shape[axis] = size
    grad_input = np.zeros(shape, grad_out.dtype)
    for place in np.ndindex(*shape):
        grad_input[place] = grad_out[*place[:axis], start + place[axis], *place[axis + 1 :]]
    return grad_input
