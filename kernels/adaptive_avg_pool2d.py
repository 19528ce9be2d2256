"""Mean over the bins of a grid, fast. Read reference/adaptive_avg_pool2d.py first.

Bins are windows whose place and size vary, which the kernels of avg_pool2d.py do not mind.
"""

from functools import lru_cache

from minicnn.kernels.avg_pool2d import axis, mean_of_windows, spread_over_windows
from minicnn.kernels.geometry import adaptive_window


@lru_cache(maxsize=256)
def _bins(size, bins):
    edges = [adaptive_window(i, size, bins) for i in range(bins)]
    return axis([(first, stop, stop - first) for first, stop in edges], size)


def adaptive_avg_pool2d_forward(x, *, out_hw):
    """Return the means (N, C, *out_hw) of x (N, C, H, W)."""
    return mean_of_windows(x, _bins(x.shape[2], out_hw[0]), _bins(x.shape[3], out_hw[1]))


def adaptive_avg_pool2d_grad_input(grad_out, *, input_shape):
    """Give each pixel of a bin its share of the output's gradient; bins overlap, so add."""
    rows, cols = _bins(input_shape[2], grad_out.shape[2]), _bins(input_shape[3], grad_out.shape[3])
    return spread_over_windows(grad_out, rows, cols, input_shape)
