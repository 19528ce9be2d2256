"""The one layer that checks: what every op demands of its arguments before a kernel runs.

Each function returns the argument in the form that kernels trust, or raises one of minicnn.errors with
the op, the rule in the glossary's letters, and the actual values.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from minicnn.autograd import FLOATS, Array, Tensor, is_recording
from minicnn.errors import DTypeError, GraphError, LabelError, OptionError, ShapeError
from minicnn.kernels import geometry

Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
Shape = tuple[int, ...]
Answer = TypeVar("Answer")
Input = Tensor | np.ndarray[Any, Any]  # what every op accepts


def tensor(op: str, name: str, value: Any) -> Tensor:
    """Accept a Tensor or a NumPy array of float32 or float64.

    An array is copied while gradients are recorded, so that later changes to it cannot spoil them.
    """
    if not isinstance(value, Tensor):
        if type(value) is np.ndarray and value.dtype in FLOATS and value.flags.carray:
            return Tensor(value) if is_recording() else Tensor.wrap(value)
        if not isinstance(value, (np.ndarray, np.generic)):
            raise DTypeError(f"{op}: {name} must be a Tensor or a NumPy array, got {type(value).__name__}")
        if value.dtype.newbyteorder("=") not in FLOATS:
            raise DTypeError(f"{op}: {name} must be float32 or float64, got {value.dtype}; convert with .astype()")
        if isinstance(value, np.ma.MaskedArray):
            raise DTypeError(f"{op}: {name} is a masked array, whose mask would be ignored; call .filled(value) first")
        if is_recording():
            return Tensor(value)
        native = np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")
        return Tensor.wrap(np.require(native, requirements=["C", "A", "W"]))
    if value.array.dtype not in FLOATS:
        raise DTypeError(f"{op}: {name} must be float32 or float64, got {value.dtype}")
    return value


def numbers(op: str, name: str, value: Any) -> Tensor:
    """Accept a Tensor or a NumPy array of any real numbers, class indices too: for ops that only move elements.

    An array is always copied: the result may live on its memory.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "iub":
        return Tensor(value)
    x = tensor(op, name, value)
    return x if is_recording() else Tensor(x)


def constant(op: str, name: str, value: Any) -> Tensor:
    """Accept what ``tensor`` accepts, but nothing that waits for a gradient: the op has none to give."""
    x = tensor(op, name, value)
    if x.requires_grad and is_recording():
        raise GraphError(f"{op}: {name} gets no gradient here, got a Tensor that requires one; use .detach()")
    return x


def labels(
    op: str, value: Any, expected: tuple[int, ...], rule: str, classes: int, ignore_index: int | None = None
) -> Array:
    """Accept class indices of any integer dtype in 0 .. C-1; return them as int64, ``ignore_index`` as -1."""
    given = value.array if isinstance(value, Tensor) else value
    if not isinstance(given, np.ndarray) or isinstance(given, np.ma.MaskedArray) or given.dtype.kind not in "iu":
        kind = given.dtype if isinstance(given, np.ndarray) else type(given).__name__
        raise DTypeError(f"{op}: target must be a Tensor or a NumPy array of integers, got {kind}")
    if given.shape != expected:
        raise ShapeError(f"{op}: target must have shape {rule} = {expected}, got {given.shape}")
    indices = given.astype(np.int64)
    if ignore_index is not None and 0 <= ignore_index < classes:
        indices[indices == ignore_index] = -1
    # A negative number is a huge one here: one comparison for both ends.
    as_large = indices.view(np.uint64)
    if np.maximum.reduce(as_large, None, initial=0) >= classes:  # half the time of comparing each, of a few
        outside = as_large >= np.uint64(classes)
        wrong = outside if ignore_index is None else outside & (given != ignore_index)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            exception = "" if ignore_index is None else f" or be ignore_index = {ignore_index}"
            raise LabelError(
                f"{op}: target must lie in 0 .. C-1 = {classes - 1}{exception}, got {given[place]} at position {place}"
            )
        indices[outside] = -1
    return indices


def images(op: str, value: Any, name: str = "input") -> Tensor:
    """Accept a batch of images (N, C, H, W); N may be 0, the others may not."""
    x = tensor(op, name, value)
    shape = x.array.shape
    if len(shape) != 4:
        hint = "; add the batch axis with x[None]" if len(shape) == 3 else ""
        raise ShapeError(f"{op}: {name} must have 4 axes (N, C, H, W), got shape {shape}{hint}")
    if 0 in shape[1:]:
        raise ShapeError(f"{op}: {name} must have C, H, W >= 1, got shape {shape}")
    return x


def same_dtype(op: str, **tensors: Tensor | None) -> None:
    """Refuse float32 beside float64: nothing is promoted silently."""
    first = None
    for t in tensors.values():
        if t is None or t.array.dtype is first:
            continue
        if first is not None and t.dtype != first:
            have = ", ".join(f"{name} {given.dtype}" for name, given in tensors.items() if given is not None)
            raise DTypeError(f"{op}: all arrays must have one dtype, got {have}; convert with .astype()")
        first = t.dtype


def shape(op: str, name: str, value: Tensor, expected: tuple[int, ...], rule: str) -> None:
    """Refuse a shape other than ``expected``; ``rule`` says it in the glossary's letters."""
    if value.array.shape != expected:
        raise ShapeError(f"{op}: {name} must have shape {rule} = {expected}, got {value.shape}")


def integer(op: str, name: str, value: Any, least: int) -> int:
    """Accept an integer (NumPy's too, bool not) that is at least ``least``."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise OptionError(f"{op}: {name} must be an integer, got {value!r}") from None
    if not least <= number < 2**31:
        raise OptionError(f"{op}: {name} must be >= {least} (and below 2**31), got {number}")
    return number


def is_sequence(value: Any) -> bool:
    """Whether an option came as several numbers: a NumPy array of no axes is a number."""
    return isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def pair(op: str, name: str, value: Any, least: int = 1) -> Pair:
    """Accept one integer for both axes, or two: (vertical, horizontal)."""
    if is_sequence(value):
        if len(value) != 2:
            raise OptionError(f"{op}: {name} must be an integer or a pair (vertical, horizontal), got {value!r}")
        return integer(op, name, value[0], least), integer(op, name, value[1], least)
    number = integer(op, name, value, least)
    return number, number


def number(op: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Accept a real number in ``low <= value <= high`` (NaN is in no range)."""
    real: float = value
    if type(value) is not float:  # what it nearly always is: 0.6 us less
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise OptionError(f"{op}: {name} must be a number, got {value!r}")
        try:
            real = float(value)
        except OverflowError:  # an integer of more than 300 digits
            real = math.inf
    if not low <= real <= high or math.isinf(real):
        raise OptionError(f"{op}: {name} must be a finite number in {low} .. {high}, got {value!r}")
    return real


def flag(op: str, name: str, value: Any) -> bool:
    """Accept True or False (NumPy's too): ``"no"`` and 0.5 would count as True."""
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{op}: {name} must be True or False, got {value!r}")
    return bool(value)


def choice(op: str, name: str, value: Any, known: tuple[str, ...]) -> str:
    """Accept one of the names in ``known``."""
    if not isinstance(value, str) or value not in known:
        raise OptionError(f"{op}: {name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    return str(value)


def activation(op: str, value: Any) -> str | None:
    """Accept what an op can end with in the same pass through memory, or None."""
    return None if value is None else choice(op, "activation", value, ("relu", "relu6"))


def axis(op: str, name: str, value: Any, ndim: int) -> int:
    """Accept an axis ``-ndim .. ndim-1``; return it counted from the front."""
    if ndim == 0:
        raise OptionError(f"{op}: {name} must lie in the array's axes, and a single number has none, got {value!r}")
    number = value if type(value) is int else integer(op, name, value, -(2**31))
    if not -ndim <= number < ndim:
        raise OptionError(f"{op}: {name} must lie in {-ndim} .. {ndim - 1}, got {number}")
    return number % ndim


def padding(op: str, value: Any, sizes: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Pads:
    """Return ((top, bottom), (left, right)).

    Accepts an integer, a pair (vertical, horizontal), ``((top, bottom), (left, right))``, ``"valid"`` (none) or
    ``"same"`` (TensorFlow's: output size ceil(size / stride), the odd pixel at the bottom and right).
    """
    if isinstance(value, str):
        if choice(op, "padding", value, ("same", "valid")) == "valid":
            return (0, 0), (0, 0)
        vertical, horizontal = (
            geometry.same_padding(sizes[i], kernel[i], stride=stride[i], dilation=dilation[i]) for i in (0, 1)
        )
        return vertical, horizontal
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(v, (tuple, list)) for v in value):
        return pair(op, "padding", value[0], 0), pair(op, "padding", value[1], 0)
    vertical_pad, horizontal_pad = pair(op, "padding", value, 0)
    return (vertical_pad, vertical_pad), (horizontal_pad, horizontal_pad)


def output_hw(
    op: str, sizes: Pair, kernel: Pair, stride: Pair, pads: Pads, dilation: Pair, ceil_mode: bool = False
) -> Pair:
    """Return (H_out, W_out), or refuse a window larger than the padded image."""
    result = []
    for name, size, k, s, (before, after), d in zip("HW", sizes, kernel, stride, pads, dilation, strict=True):
        out = geometry.output_size(size, k, stride=s, before=before, after=after, dilation=d, ceil_mode=ceil_mode)
        if out < 1:
            raise ShapeError(
                f"{op}: the window must fit into the padded {name}, got {name}={size}, padding {before}+{after}, "
                f"K{name}={k}, dilation {d}, which spans {geometry.span(k, d)}"
            )
        result.append(out)
    return result[0], result[1]


def fits_memory(op: str, out_shape: tuple[int, ...], dtype: Any) -> None:
    """Refuse an output, of a size that the caller chose freely, that no memory could hold."""
    if math.prod(out_shape) < 2**30:
        return
    try:
        np.empty(out_shape, dtype)  # costs nothing: pages are given when they are written to
    except (MemoryError, ValueError):
        raise ShapeError(f"{op}: the output must fit into memory, got shape {out_shape} of {dtype}") from None


def half_window(op: str, pads: Pads, kernel: Pair, dilation: Pair) -> None:
    """Refuse a pool whose padding exceeds half a window: a window could lie wholly outside the image."""
    for pad, k, d in zip(pads, kernel, dilation, strict=True):
        if 2 * max(pad) > geometry.span(k, d):
            raise OptionError(f"{op}: padding must be at most half a window, got {pads} for kernel_size={kernel}")


_known: dict[tuple[Any, ...], Any] = {}


def known(question: tuple[Any, ...], work_out: Callable[[], Answer]) -> Answer:
    """Return what ``work_out`` says, from memory if ``question``, all that it depends on, was asked before.

    A network asks the same at every step: looking the answer up takes 1 us, working it out 10. Options stand in
    the question as text, because 1.0 and True, which are refused, equal 1.
    """
    answer: Answer | None = _known.get(question)
    if answer is None:
        answer = work_out()
        if len(_known) >= 4096:  # images of ever new sizes
            _known.clear()
        _known[question] = answer
    return answer


def window(
    op: str, x: Tensor, kernel: Pair, stride: Any, padding_: Any, dilation: Any
) -> tuple[Pair, Pads, Pair, Pair]:
    """Resolve what slides over images: stride, padding, dilation, (H_out, W_out)."""
    question = (op, x.array.shape[2:], kernel, repr((stride, padding_, dilation)))
    return known(question, lambda: _window(op, x, kernel, stride, padding_, dilation))


def pool(
    op: str, x: Tensor, kernel_size: Any, stride: Any, padding_: Any, dilation: Any, ceil_mode: Any
) -> tuple[Pair, Pair, Pads, Pair, Pair]:
    """Resolve a pool's options: kernel, stride, padding, dilation, (H_out, W_out)."""

    def work_out() -> tuple[Pair, Pair, Pads, Pair, Pair]:
        kernel, overhangs = pair(op, "kernel_size", kernel_size), flag(op, "ceil_mode", ceil_mode)
        answer = _window(op, x, kernel, kernel if stride is None else stride, padding_, dilation, overhangs)
        half_window(op, answer[1], kernel, answer[2])
        return kernel, *answer

    return known((op, x.array.shape[2:], repr((kernel_size, stride, padding_, dilation, ceil_mode))), work_out)


def _window(
    op: str, x: Tensor, kernel: Pair, stride: Any, padding_: Any, dilation: Any, ceil_mode: bool = False
) -> tuple[Pair, Pads, Pair, Pair]:
    size = (x.shape[2], x.shape[3])
    steps, holes = pair(op, "stride", stride), pair(op, "dilation", dilation)
    pads = padding(op, padding_, size, kernel, steps, holes)
    return steps, pads, holes, output_hw(op, size, kernel, steps, pads, holes, ceil_mode)
