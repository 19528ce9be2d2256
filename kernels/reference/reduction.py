"""What losses end with: the sum of all of them over a number, in double precision."""

import numpy as np


@np.errstate(all="ignore")  # the mean of nothing is 0 / 0, NaN
def reduction_forward(losses, divisor):
    """Return the sum of the losses, of any shape, over the divisor, a float: an array without axes."""
    total = np.zeros((), np.result_type(losses, np.float64))
    for place in np.ndindex(losses.shape):
        total += losses[place]
    return np.asarray(total / np.float64(divisor), losses.dtype)
