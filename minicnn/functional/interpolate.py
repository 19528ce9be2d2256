"""Another resolution, nearest or bilinear."""

from __future__ import annotations

import math

from minicnn.autograd import Tensor, record
from minicnn.errors import OptionError, ShapeError
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.kernels import geometry, twin


def interpolate(
    input: Input,
    size: int | tuple[int, int] | None = None,
    scale_factor: float | tuple[float, float] | None = None,
    mode: str = "nearest",
    *,
    align_corners: bool = False,
) -> Tensor:
    """Resize images; without a low-pass filter, so that shrinking skips pixels.

    Parameters
    ----------
    input : Tensor or array, shape (N, C, H, W)
    size : int or (H_out, W_out), optional
    scale_factor : float or pair, optional
        Instead of ``size``: H_out = floor(H * scale_factor), and positions are counted with this very factor
        rather than with H_out / H (PyTorch's rule).
    mode : {"nearest", "bilinear"}
        Copy the pixel ``floor(i * H / H_out)``, or blend the four pixels around the output's centre.
    align_corners : bool
        For bilinear: whether the centres of the corner pixels of input and output meet, or their outer edges.

    Returns
    -------
    Tensor, shape (N, C, H_out, W_out)

    Raises
    ------
    ShapeError
        If the input is not (N, C, H, W), ``scale_factor`` leaves no pixel, or no memory could hold the output.
    OptionError
        If not exactly one of ``size`` and ``scale_factor`` is given, or an option is unknown.

    Notes
    -----
    PyTorch counts positions in float32 for float32 images; here they are float64, so that a whole position is whole.

    Examples
    --------
    >>> import numpy as np
    >>> import minicnn.functional as F
    >>> x = np.float32([[[[0, 4]]]])
    >>> F.interpolate(x, scale_factor=(1, 2)).numpy()
    array([[[[0., 0., 4., 4.]]]], dtype=float32)
    >>> F.interpolate(x, scale_factor=(1, 2), mode="bilinear").numpy()
    array([[[[0., 1., 3., 4.]]]], dtype=float32)
    """
    op = "interpolate"
    x = check.images(op, input)
    how = check.choice(op, "mode", mode, ("nearest", "bilinear"))
    align_corners = check.flag(op, "align_corners", align_corners)
    if align_corners and how == "nearest":
        raise OptionError(f'{op}: align_corners is for mode="bilinear" alone, got mode={mode!r}')
    if (size is None) == (scale_factor is None):
        raise OptionError(f"{op}: exactly one of size and scale_factor must be given, got {size=} and {scale_factor=}")
    hw = (x.shape[2], x.shape[3])
    scales: list[float | None] = [None, None]
    if size is not None:
        out_hw = check.pair(op, "size", size)
    else:
        factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor, scale_factor)
        if len(factors) != 2:
            raise OptionError(
                f"{op}: scale_factor must be a number or a pair (vertical, horizontal), got {scale_factor!r}"
            )
        vertical, horizontal = (check.number(op, "scale_factor", factor, 0, 2**31) for factor in factors)
        scales = [vertical, horizontal]
        out_hw = math.floor(hw[0] * vertical), math.floor(hw[1] * horizontal)
        if not 1 <= min(out_hw) <= max(out_hw) < 2**31:
            raise ShapeError(
                f"{op}: floor(H * scale_factor) and floor(W * scale_factor) must be >= 1 (and below 2**31), got "
                f"H={hw[0]}, W={hw[1]}, scale_factor={scale_factor!r}"
            )
    check.fits_memory(op, (*x.shape[:2], *out_hw), x.dtype)
    steps = [geometry.resize_step(hw[a], out_hw[a], scales[a], how, align_corners) for a in (0, 1)]

    k, shape = twin(op), x.shape
    how_to = {"steps": steps, "mode": how, "align_corners": align_corners}
    out = k.interpolate_forward(x.array, out_hw=out_hw, **how_to)
    return record(op, out, (x, lambda grad_out: k.interpolate_grad_input(grad_out, input_shape=shape, **how_to)))
