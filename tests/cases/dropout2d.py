import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import OptionError, ShapeError

counters = st.integers(0, 2**64 - 1)


@st.composite
def calls(draw):
    shape = tuple(draw(st.integers(1, 3)) for _ in range(4))
    options = {"p": draw(st.sampled_from([0, 0.3, 0.5, 1])), "seed": draw(counters), "step": draw(counters)}
    return Call({"input": values(shape, draw(seeds))}, options)


# Seed 0, step 0 start SplitMix64 at 0, whose published numbers begin with 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4,
# 0x06C45D188009454F: as fractions of 2**64 these are 0.88, 0.43, 0.03.
X = np.arange(1.0, 7.0).reshape(1, 3, 1, 2)

CASE = Case(
    op="dropout2d",
    calls=calls(),
    linear_in=("input",),
    by_hand=[
        (Call({"input": X}, {"p": 0.5, "seed": 0, "step": 0}), [[[[2, 4]], [[0, 0]], [[0, 0]]]]),
        (Call({"input": X}, {"p": 0.2, "seed": 0, "step": 0}), [[[[1.25, 2.5]], [[3.75, 5]], [[0, 0]]]]),
        (Call({"input": X}, {"p": 0, "seed": 0, "step": 0}), X),
        (Call({"input": X}, {"p": 1, "seed": 0, "step": 0}), 0 * X),
        (Call({"input": X}, {"p": 0.5, "training": False}), X),
    ],
    refused=[
        Refused({"input": X[0]}, ShapeError, r"dropout2d: input must have 4 axes"),
        Refused({"input": X, "p": 1.5}, OptionError, r"dropout2d: p must be a finite number in 0 \.\. 1, got 1.5"),
        Refused({"input": X, "p": -0.1}, OptionError, r"got -0.1"),
        Refused({"input": X, "p": float("nan"), "training": False}, OptionError, r"got nan"),
        Refused({"input": X, "seed": 3}, OptionError, r"seed and step must be given together, got seed=3, step=None"),
        Refused({"input": X, "seed": -1, "step": 0}, OptionError, r"seed must lie in 0 \.\. 2\*\*64 - 1, got -1"),
        Refused({"input": X, "seed": 1, "step": 0.5}, OptionError, r"step must be an integer, got 0.5"),
    ],
)
