import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, coarse, one_array, positive
from minicnn.errors import DTypeError, OptionError


@st.composite
def calls(draw):
    whole = draw(st.booleans())
    a = draw(one_array(coarse if whole else positive)).inputs["input"]
    return Call({"a": a}, {"exponent": draw(st.sampled_from([0, 1, 2, 3, -1, -2] if whole else [0.5, -0.5, 1.7]))})


A = np.array([4.0, 0.0, -1.0])

CASE = Case(
    op="pow",
    calls=calls(),
    by_hand=[
        (Call({"a": A}, {"exponent": 2}), [16, 0, 1]),
        (Call({"a": A}, {"exponent": 0.5}), [2, 0, np.nan]),
        (Call({"a": A}, {"exponent": -1}), [0.25, np.inf, -1]),
        (Call({"a": A}, {"exponent": 0}), [1, 1, 1]),
    ],
    refused=[
        Refused({"a": A, "exponent": "2"}, OptionError, r"pow: exponent must be a number, got '2'"),
        Refused({"a": A, "exponent": A}, OptionError, r"pow: exponent must be a number, got array"),
        Refused({"a": A, "exponent": np.nan}, OptionError, r"pow: exponent must be a finite number .*got nan"),
        Refused({"a": A.astype(int), "exponent": 2}, DTypeError, r"pow: a must be float32 or float64, got int64"),
    ],
    batched=(),
)
