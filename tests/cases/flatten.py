import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, one_array
from minicnn.errors import DTypeError, OptionError


@st.composite
def calls(draw):
    inputs = draw(one_array()).inputs
    ndim = max(1, inputs["input"].ndim)
    start = draw(st.integers(0, ndim - 1))
    end = draw(st.integers(start, ndim - 1))
    return Call(inputs, {"start_dim": start - ndim, "end_dim": end})


A = np.arange(1.0, 9.0).reshape(2, 2, 2)

CASE = Case(
    op="flatten",
    calls=calls(),
    by_hand=[
        (Call({"input": A}), [1, 2, 3, 4, 5, 6, 7, 8]),
        (Call({"input": A}, {"start_dim": 1}), [[1, 2, 3, 4], [5, 6, 7, 8]]),
        (Call({"input": A}, {"end_dim": -2}), [[1, 2], [3, 4], [5, 6], [7, 8]]),
        (Call({"input": np.array(3.0)}), [3]),
        (Call({"input": A[:0]}, {"start_dim": 1}), np.zeros((0, 4))),
    ],
    refused=[
        Refused({"input": A, "start_dim": 3}, OptionError, r"flatten: start_dim must lie in -3 .. 2, got 3"),
        Refused({"input": A, "start_dim": 2, "end_dim": 0}, OptionError, r"must not come after end_dim, got 2 and 0"),
        Refused({"input": None}, DTypeError, r"flatten: input must be a Tensor or a NumPy array, got NoneType"),
    ],
    linear_in=("input",),
    batched=(),
)
