import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minicnn.functional as F
from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    parts = {}
    for name in "abc":
        size = list(shape)
        size[dim] = draw(st.integers(0, 3))
        parts[name] = values(size, draw(seeds))
    return Call(parts, {"dim": dim})


A, B = np.array([[1.0], [2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])

CASE = Case(
    op="concat",
    calls=calls(),
    by_hand=[
        (Call({"a": A, "b": B}, {"dim": 1}), [[1, 3, 4], [2, 5, 6]]),
        (Call({"a": B, "b": B[:1], "c": B[:0]}), [[3, 4], [5, 6], [3, 4]]),
        (Call({"a": A}, {"dim": -1}), A),
        (Call({"a": A[:0], "b": B[:0]}, {"dim": 1}), np.zeros((0, 3))),
    ],
    refused=[
        Refused({"a": A, "b": B}, ShapeError, r"concat: shapes must agree except along dim=0, got \(2, 1\), \(2, 2\)"),
        Refused({"a": A, "b": A[0], "dim": -1}, ShapeError, r"concat: shapes must agree .*\(2, 1\), \(1,\)"),
        Refused({}, ShapeError, r"concat: tensors must hold at least one"),
        Refused({"tensors": A}, DTypeError, r"concat: tensors must be a list or tuple, got ndarray"),
        Refused({"a": A, "dim": 2}, OptionError, r"concat: dim must lie in -2 .. 1, got 2"),
        Refused({"a": np.array(1.0)}, OptionError, r"concat: dim .*got 0"),
        Refused(
            {"a": A, "b": A.astype(np.float32)}, DTypeError, r"concat: all arrays must have one dtype.*\[1\] float32"
        ),
        Refused({"a": A, "b": [2.0]}, DTypeError, r"concat: tensors\[1\] must be a Tensor or a NumPy array, got list"),
    ],
    linear_in=("a", "b", "c"),
    batched=(),
    run=lambda tensors=None, dim=0, **parts: F.concat(list(parts.values()) if tensors is None else tensors, dim),
)
