import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, spread
from minicnn.errors import DTypeError


@st.composite
def calls(draw):
    return Call({"input": spread(draw(shapes), draw(seeds))})


CASE = Case(
    op="relu",
    calls=calls(),
    by_hand=[
        (Call({"input": np.array([-2.0, -0.0, 0.0, 3.0, np.inf, -np.inf, np.nan])}), [0, 0, 0, 3, np.inf, 0, np.nan])
    ],
    refused=[
        Refused({"input": [1.0]}, DTypeError, r"relu: input must be a Tensor or a NumPy array, got list"),
        Refused({"input": np.array([1])}, DTypeError, r"relu: input must be float32 or float64, got int64"),
    ],
)
