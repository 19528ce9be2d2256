import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, values
from minicnn.errors import DTypeError


@st.composite
def calls(draw):
    return Call({"input": values(draw(shapes), draw(seeds))})


CASE = Case(
    op="scaled_tanh",
    calls=calls(),
    by_hand=[
        (
            Call({"input": np.array([0.0, 1.5 * np.log(2), -1.5 * np.log(2), np.inf, np.nan])}),
            [0, 0.6 * 1.7159, -0.6 * 1.7159, 1.7159, np.nan],
        )
    ],
    refused=[
        Refused({"input": [1.0]}, DTypeError, r"scaled_tanh: input must be a Tensor or a NumPy array, got list"),
        Refused({"input": np.array([1])}, DTypeError, r"scaled_tanh: input must be float32 or float64, got int64"),
    ],
)
