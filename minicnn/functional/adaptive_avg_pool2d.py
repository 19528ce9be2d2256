"""Mean over the bins of a grid of chosen size."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.errors import OptionError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def adaptive_avg_pool2d(input: Input, output_size: int | tuple[int | None, int | None] | None) -> Tensor:
    """Take means so that the output has the size ``output_size``, whatever the input's size.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    output_size : int or (H_out, W_out)
        ``None`` keeps the input's size; 1 is the global average pool.

    Returns
    -------
    Tensor, shape (N, C, H_out, W_out)
        Output ``i`` of ``n`` is the mean of pixels ``floor(i * size / n) .. ceil((i + 1) * size / n) - 1``: bins of
        equal size where ``n`` divides the size, otherwise neighbours share a pixel.

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W), or no memory could hold the output.
    OptionError
        If a size is not a positive integer.

    Notes
    -----
    The global average pool replaced the fully connected layers: Lin et al. 2014, "Network in Network", section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.adaptive_avg_pool2d(np.float32([[[[1, 2, 6], [3, 4, 8]]]]), (1, 2)).numpy()
    array([[[[2.5, 5. ]]]], dtype=float32)
    """
    op = "adaptive_avg_pool2d"
    x = check.images(op, input)
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(sizes) != 2:
        raise OptionError(f"{op}: output_size must be an integer or a pair (H_out, W_out), got {output_size!r}")
    height, width = (
        size if given is None else check.integer(op, "output_size", given, 1)
        for given, size in zip(sizes, x.shape[2:], strict=True)
    )
    check.fits_memory(op, (*x.shape[:2], height, width), x.dtype)

    k, shape = twin(op), x.shape
    out = k.adaptive_avg_pool2d_forward(x.array, out_hw=(height, width))
    return record(op, out, (x, lambda grad_out: k.adaptive_avg_pool2d_grad_input(grad_out, input_shape=shape)))
