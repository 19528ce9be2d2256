"""A border around each image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn.autograd import Tensor, record
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import twin


def pad(input: Input, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Put a border around each image.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    pad : (left, right, top, bottom)
        Pixels on each side, in PyTorch's order: the last axis first.
    mode : {"constant", "reflect", "replicate"}
        What stands in the border: ``value``; the image mirrored at its edge pixels, which are not repeated;
        or the nearest edge pixel.
    value : float
        The constant.

    Returns
    -------
    Tensor, shape (N, C, top + H + bottom, left + W + right)

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W), a mirror image would be larger than the image, or no memory could
        hold the output.
    OptionError
        If ``pad`` is not four integers >= 0 (to cut pixels off, index the tensor), the mode is unknown, or ``value``
        is not finite or stands beside a mode that does not use it.

    Notes
    -----
    A layer's own ``padding`` needs no copy of the image; this op is for borders that layers do not have.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> F.pad(np.float32([[[[1, 2, 3]]]]), (2, 1, 0, 0), "reflect").numpy()
    array([[[[3., 2., 1., 2., 3., 2.]]]], dtype=float32)
    """
    op = "pad"
    x = check.images(op, input)
    if not check.is_sequence(pad) or len(pad) != 4:
        raise OptionError(f"{op}: pad must be four integers (left, right, top, bottom), got {pad!r}")
    left, right, top, bottom = (check.integer(op, "pad", side, 0) for side in pad)
    how = check.choice(op, "mode", mode, ("constant", "reflect", "replicate"))
    most = float(np.finfo(x.dtype).max)
    constant = check.number(op, "value", value, -most, most)
    if how != "constant" and constant != 0:
        raise OptionError(f'{op}: value is for mode="constant" alone, got value={value!r} with mode={mode!r}')
    pads = ((top, bottom), (left, right))
    for name, size, sides in zip("HW", x.shape[2:], pads, strict=True):
        if how == "reflect" and max(sides) >= size:
            raise ShapeError(
                f'{op}: mode="reflect" must have less than {name} pixels on each side, got {name}={size}, '
                f"padding {sides[0]}+{sides[1]}"
            )
    n, c, h, w = x.shape
    check.fits_memory(op, (n, c, top + h + bottom, left + w + right), x.dtype)

    k = twin(op)
    out = k.pad_forward(x.array, padding=pads, mode=how, value=constant)
    return record(op, out, (x, lambda grad_out: k.pad_grad_input(grad_out, padding=pads, mode=how)))
