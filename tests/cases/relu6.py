import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, spread
from minicnn.errors import DTypeError


@st.composite
def calls(draw):
    # ..., -0.25, 0.25, 0.75, ... meet neither corner, 0 or 6.
    return Call({"input": spread(draw(shapes), draw(seeds), gap=0.5)})


CASE = Case(
    op="relu6",
    calls=calls(),
    by_hand=[(Call({"input": np.array([-2.0, 0.0, 3.0, 6.0, 7.0, np.inf, np.nan])}), [0, 0, 3, 6, 6, 6, np.nan])],
    refused=[
        Refused({"input": [1.0]}, DTypeError, r"relu6: input must be a Tensor or a NumPy array, got list"),
        Refused({"input": np.array([1])}, DTypeError, r"relu6: input must be float32 or float64, got int64"),
    ],
)
