"""LeNet-5's trainable subsampling."""

from __future__ import annotations

from minicnn.autograd import Tensor, record
from minicnn.errors import ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def subsample2d(input: Input, weight: Input, bias: Input) -> Tensor:
    """Halve the resolution: the sum of each 2 x 2 block, times a weight, plus a bias, one each per map.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
        H and W even: a last odd row or column would belong to no block, and is not dropped in silence.
    weight, bias : Tensor or array, shape (C,)

    Returns
    -------
    Tensor, shape (N, C, H / 2, W / 2)

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W) with even H and W, or weight or bias is not (C,).
    DTypeError
        If the arrays are not of one dtype, float32 or float64.

    Notes
    -----
    Layers S2 and S4 of LeNet-5, before the squashing: LeCun et al. 1998, section II.B.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> x = np.float32([[[[1, 2, 0, 1], [3, 4, 1, 0]]]])
    >>> F.subsample2d(x, np.float32([0.5]), np.float32([1])).numpy()
    array([[[[6., 2.]]]], dtype=float32)
    """
    op = "subsample2d"
    x, w, b = check.images(op, input), check.tensor(op, "weight", weight), check.tensor(op, "bias", bias)
    check.same_dtype(op, input=x, weight=w, bias=b)
    check.shape(op, "weight", w, (x.shape[1],), "(C,)")
    check.shape(op, "bias", b, (x.shape[1],), "(C,)")
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ShapeError(f"{op}: H and W must be even, got input {x.shape}")

    k, image, factor = twin(op), x.array, w.array
    return record(
        op,
        k.subsample2d_forward(image, factor, b.array),
        (x, lambda grad_out: k.subsample2d_grad_input(grad_out, factor)),
        (w, lambda grad_out: k.subsample2d_grad_weight(grad_out, image)),
        (b, k.subsample2d_grad_bias),
    )
