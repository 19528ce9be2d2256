import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, one_array, refused_operand
from minicnn.errors import OptionError


@st.composite
def calls(draw):
    inputs = draw(one_array()).inputs
    ndim = inputs["input"].ndim
    some = st.lists(st.sampled_from(range(-ndim, ndim)), unique_by=lambda axis: axis % ndim).map(tuple)
    dim = draw(st.none() | (st.integers(-ndim, ndim - 1) | some if ndim else st.none()))
    return Call(inputs, {"dim": dim, "keepdims": draw(st.booleans())})


A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

CASE = Case(
    op="mean",
    calls=calls(),
    by_hand=[
        (Call({"input": A}), 3.5),
        (Call({"input": A}, {"dim": 0}), [2.5, 3.5, 4.5]),
        (Call({"input": A}, {"dim": -1, "keepdims": True}), [[2], [5]]),
        (Call({"input": A}, {"dim": (0, 1), "keepdims": True}), [[3.5]]),
        (Call({"input": A[:0]}), np.nan),
        (Call({"input": A[:0]}, {"dim": 1}), np.zeros(0)),
    ],
    refused=[
        *refused_operand("mean"),
        Refused({"input": A, "dim": 2}, OptionError, r"mean: dim must lie in -2 .. 1, got 2"),
        Refused({"input": A, "dim": (0, -2)}, OptionError, r"mean: dim must name each axis once, got \(0, -2\)"),
        Refused({"input": A, "dim": 0.5}, OptionError, r"mean: dim must be an integer, got 0.5"),
    ],
    linear_in=("input",),
    batched=(),
)
