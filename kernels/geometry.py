"""Window arithmetic on plain integers: the sizes that convolutions and pools have in common.

A window of ``kernel`` taps, ``dilation`` apart, spans ``(kernel - 1) * dilation + 1`` pixels. It slides
in steps of ``stride`` over ``before + size + after`` padded pixels.

Examples
--------
>>> output_size(32, 5)                                   # LeNet-5 C1
28
>>> output_size(112, 3, stride=2, ceil_mode=True)        # GoogLeNet's first pool
56
>>> same_padding(224, 3, stride=2)                       # TensorFlow: the odd pixel goes to the end
(0, 1)
"""

from __future__ import annotations

from collections.abc import Iterable


def span(kernel: int, dilation: int = 1) -> int:
    """Pixels covered by a window, the holes of the dilation included."""
    return (kernel - 1) * dilation + 1


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    before: int = 0,
    after: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Number of window positions along one axis; below 1 when the window does not fit.

    With ``ceil_mode`` a last, overhanging window counts too, unless it would start in the padding at
    the end (Caffe's and PyTorch's rule: it would see no pixel of the image).
    """
    room = before + size + after - span(kernel, dilation)
    if room < 0 and not ceil_mode:
        return 0
    if not ceil_mode:
        return room // stride + 1
    positions = -(-room // stride) + 1
    return positions - 1 if (positions - 1) * stride >= size + before else positions


def same_padding(size: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """TensorFlow's ``'same'``: pad so that the output size is ``ceil(size / stride)``.

    An odd total puts the extra pixel at the end (bottom, right).
    """
    total = max((-(-size // stride) - 1) * stride + span(kernel, dilation) - size, 0)
    return total // 2, total - total // 2


def pool_window(
    index: int, size: int, kernel: int, stride: int, pads: tuple[int, int], count_include_pad: bool
) -> tuple[int, int, int]:
    """First and one-past-last pixel of an average's window, and how many pixels it divides by.

    The count takes in the padding ``pads = (before, after)`` or not; never what overhangs the padding, as a last
    window of ``ceil_mode`` may (PyTorch's rule).
    """
    first = index * stride - pads[0]
    stop = min(first + kernel, size + pads[1])
    inside = max(first, 0), min(stop, size)
    return *inside, stop - first if count_include_pad else inside[1] - inside[0]


def adaptive_window(index: int, size: int, bins: int) -> tuple[int, int]:
    """First and one-past-last pixel of bin ``index`` when ``size`` pixels fall into ``bins`` bins."""
    return index * size // bins, -(-(index + 1) * size // bins)


def pad_source(index: int, size: int, mode: str) -> int:
    """Pixel of the image whose value the padded place ``index`` repeats; -1 for a constant.

    ``index`` counts from the image's first pixel, so it is negative before it and ``>= size`` after it.
    ``"reflect"`` mirrors at the edge pixel without repeating it and reaches ``size - 1`` pixels far.
    """
    if 0 <= index < size:
        return index
    if mode == "replicate":
        return 0 if index < 0 else size - 1
    if mode == "reflect":
        return -index if index < 0 else 2 * (size - 1) - index
    return -1


def resize_step(
    size: int, out: int, scale: float | None, mode: str, align_corners: bool = False
) -> tuple[float, float]:
    """How far the input advances from one output to the next, as (numerator, denominator).

    A given ``scale`` is taken at its word, so that ``out`` may not reach the far edge, except where the size did not
    change and, for ``"nearest"``, where it doubled (PyTorch's rule).
    """
    if align_corners:
        return (size - 1, out - 1) if out > 1 else (0, 1)
    if scale is None or out == size or (mode == "nearest" and out == 2 * size):
        return size, out
    return 1, scale


def nearest_source(index: int, size: int, step: tuple[float, float]) -> int:
    """Pixel that output ``index`` copies: ``floor(index * step)``.

    The step is kept as a fraction so that whole positions stay whole: 49 * (1 / 49) is less than 1 in floating point.
    """
    return min(int(index * step[0] / step[1]), size - 1)


def linear_source(index: int, size: int, step: tuple[float, float], align_corners: bool) -> tuple[int, int, float]:
    """Two pixels that output ``index`` lies between, and the weight of the second (0: it is the first again).

    A pixel's value belongs to its centre, half a pixel from its edge; with ``align_corners`` positions are counted
    from the centre of the first pixel, so that the corners of input and output meet.
    """
    shift = 0.0 if align_corners else 0.5
    position = max((index + shift) * step[0] / step[1] - shift, 0.0)
    first = min(int(position), size - 1)
    if first == position or first == size - 1:
        return first, first, 0.0
    return first, first + 1, position - first


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> tuple[int, int]:
    """Pixels of the input that one output sees, and the input step between two outputs.

    ``layers`` holds ``(kernel, stride, dilation)`` from the input upwards.

    Examples
    --------
    >>> receptive_field([(5, 1, 1), (2, 2, 1), (5, 1, 1), (2, 2, 1)])   # LeNet-5 up to S4
    (16, 4)
    """
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * step
        step *= stride
    return field, step
