import numpy as np
from hypothesis import strategies as st

import minicnn.functional as F
from cases import Call, Case, Refused, one_array
from minicnn.errors import DTypeError, OptionError


@st.composite
def calls(draw):
    inputs = draw(one_array()).inputs
    ndim = inputs["input"].ndim
    return Call(inputs, {"axes": draw(st.just(()) | st.permutations(range(-ndim, 0)))})


A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

CASE = Case(
    op="transpose",
    calls=calls(),
    by_hand=[
        (Call({"input": A}), [[1, 4], [2, 5], [3, 6]]),
        (Call({"input": A[None]}, {"axes": (2, 0, 1)}), [[[1, 4]], [[2, 5]], [[3, 6]]]),
        (Call({"input": np.array(1.0)}), 1),
        (Call({"input": A[:0]}), np.zeros((3, 0))),
    ],
    refused=[
        Refused({"input": A, "axes": (0, 0)}, OptionError, r"axes must name each of the 2 axes once, got \(0, 0\)"),
        Refused({"input": A, "axes": (1,)}, OptionError, r"axes must name each of the 2 axes once, got \(1,\)"),
        Refused({"input": A, "axes": (0, 2)}, OptionError, r"axes must lie in -2 .. 1, got 2"),
        Refused({"input": [A]}, DTypeError, r"input must be a Tensor or a NumPy array, got list"),
    ],
    linear_in=("input",),
    batched=(),
    run=lambda input, axes=(): F.transpose(input, *axes),
)
