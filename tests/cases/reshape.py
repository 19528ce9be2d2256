import numpy as np
from hypothesis import strategies as st

import minicnn.functional as F
from cases import Call, Case, Refused, one_array
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    inputs = draw(one_array()).inputs
    size = inputs["input"].size
    shapes = [(size,), (-1,), (1, size), (size, -1), *((k, size // k) for k in (2, 3) if size % k == 0)]
    return Call(inputs, {"shape": draw(st.sampled_from(shapes))})


A = np.arange(1.0, 7.0)

CASE = Case(
    op="reshape",
    calls=calls(),
    by_hand=[
        (Call({"input": A}, {"shape": (2, -1)}), [[1, 2, 3], [4, 5, 6]]),
        (Call({"input": A[:1]}, {"shape": ()}), 1),
        (Call({"input": A[:0]}, {"shape": (0, 3)}), np.zeros((0, 3))),
        (Call({"input": A[:0]}, {"shape": (2, -1)}), np.zeros((2, 0))),
    ],
    refused=[
        Refused({"input": A, "shape": (4, 2)}, ShapeError, r"keep the 6 elements of \(6,\), got \(4, 2\)"),
        Refused({"input": A, "shape": (-1, 4)}, ShapeError, r"keep the 6 elements of \(6,\), got \(-1, 4\)"),
        Refused({"input": A, "shape": (-1, -1)}, ShapeError, r"keep the 6 elements .*got \(-1, -1\)"),
        Refused({"input": A[:0], "shape": (0, -1)}, ShapeError, r"keep the 0 elements .*got \(0, -1\)"),
        Refused({"input": A, "shape": (-2, 3)}, OptionError, r"shape must be >= -1.*got -2"),
        Refused({"input": A, "shape": (2.0, 3)}, OptionError, r"shape must be an integer, got 2.0"),
        Refused({"input": "A", "shape": (1,)}, DTypeError, r"input must be a Tensor or a NumPy array, got str"),
    ],
    linear_in=("input",),
    batched=(),
    run=lambda input, shape: F.reshape(input, *shape),
)
