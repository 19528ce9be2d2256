import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, values
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    shape = draw(shapes)
    # 0.3 - ...: the same seed twice would put both at the minimum, where no slope is left to check.
    inputs = {"input": values(shape, draw(seeds)), "target": 0.3 - values(shape, draw(seeds))}
    return Call(inputs, {"reduction": draw(st.sampled_from(["mean", "sum", "none"]))})


X, T = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 5.0], [2.0, 0.0]])

CASE = Case(
    op="mse_loss",
    calls=calls(),
    by_hand=[
        (Call({"input": X, "target": T}), 26 / 4),
        (Call({"input": X, "target": T}, {"reduction": "sum"}), 26),
        (Call({"input": X, "target": T}, {"reduction": "none"}), [[0, 9], [1, 16]]),
        (Call({"input": X[:0], "target": T[:0]}), np.nan),
    ],
    refused=[
        Refused({"input": X, "target": T[0]}, ShapeError, r"target must have shape the input's = \(2, 2\), got \(2,\)"),
        Refused(
            {"input": X, "target": T.astype(np.float32)}, DTypeError, r"one dtype, got input float64, target float32"
        ),
        Refused({"input": X, "target": T, "reduction": None}, OptionError, r"reduction must be one of .*got None"),
    ],
    batched=(),  # a mean of nothing is NaN, of shape (): tests/functional/test_losses.py
)
