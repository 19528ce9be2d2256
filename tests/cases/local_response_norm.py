import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 7)), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    options = {
        "size": draw(st.integers(1, 7)),
        # With 1 or 0.5, x / (k + alpha x^2) has its maximum at a drawn x: no slope to compare.
        "alpha": draw(st.sampled_from([1e-4, 0.0, 0.3, 1.7])),
        "beta": draw(st.sampled_from([0.75, 0.5, 1, 0.0])),
        "k": draw(st.sampled_from([1.0, 2, 0.5])),
        "form": draw(st.sampled_from(["mean", "sum"])),
    }
    x = values(shape, draw(seeds))
    return Call({"input": x / max(1.0, np.abs(x).max())}, options)


def pixels(*channels: float) -> np.ndarray:
    return np.array(channels).reshape(1, -1, 1, 1)


FOUR = pixels(1.0, 2, 3, 4)
ONES = {"alpha": 1, "beta": 1, "k": 1}

CASE = Case(
    op="local_response_norm",
    calls=calls(),
    by_hand=[
        # Sums of squares over three channels, cut off at the ends: 5, 14, 29, 25.
        (Call({"input": FOUR}, {"size": 3, **ONES, "form": "sum"}), pixels(1 / 6, 2 / 15, 3 / 30, 4 / 26)),
        # The mean divides by 3 everywhere, at the ends too.
        (
            Call({"input": FOUR}, {"size": 3, **ONES}),
            pixels(1 / (1 + 5 / 3), 2 / (1 + 14 / 3), 3 / (1 + 29 / 3), 4 / (1 + 25 / 3)),
        ),
        # An even window has its extra channel before: 1, 1+4, 4+9, 9+16.
        (Call({"input": FOUR}, {"size": 2, **ONES, "form": "sum"}), pixels(1 / 2, 2 / 6, 3 / 14, 4 / 26)),
        # 15 + 1 = 16, 16^(3/4) = 8; and 16^(1/2) = 4.
        (Call({"input": pixels(1.0)}, {"size": 5, "alpha": 15, "k": 1, "form": "sum"}), pixels(1 / 8)),
        (Call({"input": pixels(1.0)}, {"size": 5, "alpha": 15, "beta": 0.5, "form": "sum"}), pixels(1 / 4)),
        # A window wider than the image has channels sees them all.
        (Call({"input": FOUR}, {"size": 99, **ONES, "form": "sum"}), FOUR / 31),
    ],
    refused=[
        Refused({"input": FOUR, "size": 5, "k": 10**400}, OptionError, r"k must be a finite number"),
        Refused(
            {"input": FOUR.astype(np.float32), "size": 5, "alpha": 1e300}, OptionError, r"alpha must be .*got 1e\+300"
        ),
        Refused({"input": FOUR[0], "size": 5}, ShapeError, r"local_response_norm: input must have 4 axes"),
        Refused({"input": FOUR, "size": 0}, OptionError, r"size must be >= 1.*got 0"),
        Refused({"input": FOUR, "size": 5.0}, OptionError, r"size must be an integer, got 5.0"),
        Refused({"input": FOUR, "size": 5, "alpha": -1}, OptionError, r"alpha must be .*got -1"),
        Refused({"input": FOUR, "size": 5, "beta": np.nan}, OptionError, r"beta must be .*got nan"),
        Refused({"input": FOUR, "size": 5, "k": 0}, OptionError, r"k must be > 0, got 0"),
        Refused({"input": FOUR, "size": 5, "k": "1"}, OptionError, r"k must be a number, got '1'"),
        Refused(
            {"input": FOUR, "size": 5, "form": "max"}, OptionError, r"form must be one of 'mean', 'sum', got 'max'"
        ),
        Refused({"input": FOUR * 1j, "size": 5}, DTypeError, r"float32 or float64, got complex128"),
    ],
)
