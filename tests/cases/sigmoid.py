import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, values
from minicnn.errors import DTypeError


@st.composite
def calls(draw):
    return Call({"input": values(draw(shapes), draw(seeds))})


CASE = Case(
    op="sigmoid",
    calls=calls(),
    by_hand=[
        (
            Call({"input": np.array([0.0, np.log(3), -np.log(3), 1000.0, -1000.0, -np.inf, np.nan])}),
            [0.5, 0.75, 0.25, 1, 0, 0, np.nan],
        )
    ],
    refused=[
        Refused({"input": [1.0]}, DTypeError, r"sigmoid: input must be a Tensor or a NumPy array, got list"),
        Refused({"input": np.array([1])}, DTypeError, r"sigmoid: input must be float32 or float64, got int64"),
    ],
)
