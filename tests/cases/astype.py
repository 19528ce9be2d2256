import numpy as np
from hypothesis import strategies as st

import minicnn.functional as F
from cases import Call, Case, Refused, one_array
from minicnn.errors import DTypeError


@st.composite
def calls(draw):
    return Call(draw(one_array()).inputs, {"dtype": "there and back"})


def run(input, dtype):
    """Since an op of the battery keeps its dtype: to float64 and back, if not told otherwise."""
    if isinstance(dtype, str):
        return F.astype(F.astype(input, np.float64), input.dtype)
    return F.astype(input, dtype)


A = np.array([1.0, -0.5, 2.0**-30 + 1])

CASE = Case(
    op="astype",
    calls=calls(),
    by_hand=[
        (Call({"input": A}, {"dtype": np.float32}), [1, -0.5, 1]),
        (Call({"input": A}, {"dtype": np.float64}), A),
        (Call({"input": A.astype(np.float32)}, {"dtype": np.float64}), [1, -0.5, 1]),
    ],
    refused=[
        Refused({"input": A, "dtype": np.float16}, DTypeError, r"dtype must be float32 or float64, got float16"),
        Refused({"input": A, "dtype": np.int64}, DTypeError, r"dtype must be float32 or float64, got int64"),
        Refused({"input": A.astype(complex), "dtype": np.float32}, DTypeError, r"input must be float32 or float64"),
    ],
    linear_in=("input",),
    batched=(),
    run=run,
)
