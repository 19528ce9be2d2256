import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, shapes, values
from minicnn.errors import DTypeError, OptionError


@st.composite
def calls(draw):
    shape = draw(shapes)
    return Call({"input": values(shape, draw(seeds))}, {"dim": draw(st.integers(-len(shape), len(shape) - 1))})


SCORES = np.log([[1.0, 2.0, 1.0], [5.0, 1.0, 4.0]])

CASE = Case(
    op="log_softmax",
    calls=calls(),
    by_hand=[
        (Call({"input": SCORES}), np.log([[0.25, 0.5, 0.25], [0.5, 0.1, 0.4]])),
        (Call({"input": SCORES}, {"dim": 0}), np.log([[1 / 6, 2 / 3, 0.2], [5 / 6, 1 / 3, 0.8]])),
        (Call({"input": np.array([1e4, 0.0, -1e4])}), [0, -1e4, -2e4]),
        (Call({"input": np.array([-np.inf, 3.0])}), [-np.inf, 0]),
        (Call({"input": np.array([np.nan, 3.0])}), [np.nan, np.nan]),
    ],
    refused=[
        Refused({"input": SCORES, "dim": -3}, OptionError, r"log_softmax: dim must lie in -2 .. 1, got -3"),
        Refused({"input": SCORES, "dim": 0.5}, OptionError, r"log_softmax: dim must be an integer, got 0.5"),
        Refused({"input": SCORES.astype(bool)}, DTypeError, r"log_softmax: input must be float32 or float64, got bool"),
    ],
)
