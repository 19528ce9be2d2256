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
    op="sum",
    calls=calls(),
    by_hand=[
        (Call({"input": A}), 21),
        (Call({"input": A}, {"dim": 0}), [5, 7, 9]),
        (Call({"input": A}, {"dim": -1, "keepdims": True}), [[6], [15]]),
        (Call({"input": A}, {"dim": (0, 1), "keepdims": True}), [[21]]),
        (Call({"input": A[:0]}), 0),
        (Call({"input": A[:0]}, {"dim": 1}), np.zeros(0)),
    ],
    refused=[
        Refused({"input": A, "keepdims": "yes"}, OptionError, r"sum: keepdims must be True or False, got 'yes'"),
        Refused({"input": A, "dim": True}, OptionError, r"sum: dim must be an integer, got True"),
        Refused({"input": A[0, 0], "dim": 0}, OptionError, r"sum: dim must lie in .* single number has none, got 0"),
        *refused_operand("sum"),
        Refused({"input": A, "dim": 2}, OptionError, r"sum: dim must lie in -2 .. 1, got 2"),
        Refused({"input": A, "dim": (0, -2)}, OptionError, r"sum: dim must name each axis once, got \(0, -2\)"),
        Refused({"input": A, "dim": 0.5}, OptionError, r"sum: dim must be an integer, got 0.5"),
    ],
    linear_in=("input",),
    batched=(),
)
