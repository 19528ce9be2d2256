import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OptionError, ShapeError

bins = st.integers(1, 9)


@st.composite
def calls(draw):
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    size = draw(st.one_of(bins, st.tuples(bins | st.none(), bins | st.none())))
    return Call({"input": values(shape, draw(seeds))}, {"output_size": size})


IMAGE = np.array([[[[1.0, 2, 3, 4, 5], [11, 12, 13, 14, 15]]]])

CASE = Case(
    op="adaptive_avg_pool2d",
    calls=calls(),
    by_hand=[
        (Call({"input": IMAGE}, {"output_size": 1}), [[[[8]]]]),
        (Call({"input": IMAGE}, {"output_size": (None, 1)}), [[[[3], [13]]]]),
        (Call({"input": IMAGE}, {"output_size": [1, None]}), [[[[6, 7, 8, 9, 10]]]]),
        # Bins of 5 pixels in 2: 0..2 and 2..4; in 3: 0..1, 1..3, 3..4.
        (Call({"input": IMAGE}, {"output_size": (2, 2)}), [[[[2, 4], [12, 14]]]]),
        (Call({"input": IMAGE}, {"output_size": (1, 3)}), [[[[6.5, 8, 9.5]]]]),
        # More bins than pixels: each of 2 rows twice, the middle of three bins is both.
        (Call({"input": IMAGE[..., :1]}, {"output_size": (3, 2)}), [[[[1, 1], [6, 6], [11, 11]]]]),
    ],
    refused=[
        Refused({"input": IMAGE[0], "output_size": 1}, ShapeError, r"input must have 4 axes .*\(1, 2, 5\)"),
        Refused({"input": IMAGE, "output_size": 0}, OptionError, r"output_size must be >= 1.*got 0"),
        Refused({"input": IMAGE, "output_size": (1, 2.5)}, OptionError, r"output_size must be an integer, got 2.5"),
        Refused({"input": IMAGE, "output_size": (1, 2, 3)}, OptionError, r"output_size must be .*\(1, 2, 3\)"),
        Refused(
            {"input": IMAGE, "output_size": 2**31 - 1}, ShapeError, r"must fit into memory, got shape .*2147483647"
        ),
        Refused({"input": IMAGE, "output_size": True}, OptionError, r"output_size must be an integer, got True"),
        Refused({"input": IMAGE.astype(">i4"), "output_size": 1}, DTypeError, r"must be float32 or float64, got >?i"),
    ],
    linear_in=("input",),
)
