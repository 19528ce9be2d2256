import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, spread
from minicnn.errors import DTypeError, OptionError


@st.composite
def calls(draw):
    shape = draw(shapes)
    # Scores that differ by 50 leave no slope to check; these differ by a few.
    return Call({"input": spread(shape, draw(seeds))}, {"dim": draw(st.integers(-len(shape), len(shape) - 1))})


SCORES = np.log([[1.0, 2.0, 1.0], [5.0, 1.0, 4.0]])

CASE = Case(
    op="softmax",
    calls=calls(),
    by_hand=[
        (Call({"input": SCORES}), [[0.25, 0.5, 0.25], [0.5, 0.1, 0.4]]),
        (Call({"input": SCORES}, {"dim": 0}), [[1 / 6, 2 / 3, 0.2], [5 / 6, 1 / 3, 0.8]]),
        (Call({"input": SCORES + 1e4}, {"dim": 1}), [[0.25, 0.5, 0.25], [0.5, 0.1, 0.4]]),
        (Call({"input": np.array([-np.inf, 1e4, -1e4, 1e4])}), [0, 0.5, 0, 0.5]),
        (Call({"input": np.array([[np.nan, 1.0], [0.0, 0.0]])}), [[np.nan, np.nan], [0.5, 0.5]]),
    ],
    refused=[
        Refused({"input": SCORES, "dim": 2}, OptionError, r"softmax: dim must lie in -2 .. 1, got 2"),
        Refused({"input": np.array(1.0)}, OptionError, r"softmax: dim must lie"),
        Refused({"input": SCORES.astype(int)}, DTypeError, r"softmax: input must be float32 or float64, got int64"),
    ],
)
