import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, ShapeError


@st.composite
def calls(draw):
    n, classes, features = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    # 0.3 - ...: the same seed twice would put both at the minimum, where no slope is left to check.
    inputs = {"input": values((n, features), draw(seeds)), "codes": 0.3 - values((classes, features), draw(seeds))}
    return Call(inputs)


X, CODES = np.array([[1.0, 0.0, 2.0]]), np.array([[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]])

CASE = Case(
    op="rbf",
    calls=calls(),
    by_hand=[(Call({"input": X, "codes": CODES}), [[0 + 1 + 9, 4 + 1 + 1]])],
    refused=[
        Refused({"input": X, "codes": CODES[:, :2]}, ShapeError, r"codes \(classes, features\).*\(1, 3\) and \(2, 2\)"),
        Refused({"input": X[0], "codes": CODES}, ShapeError, r"rbf: input must be \(N, features\)"),
        Refused(
            {"input": X, "codes": CODES.astype(np.int8)}, DTypeError, r"codes must be float32 or float64, got int8"
        ),
    ],
)
