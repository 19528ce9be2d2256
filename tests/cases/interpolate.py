import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OptionError, ShapeError

sizes = st.integers(1, 8)
factors = st.sampled_from([0.5, 1, 1.5, 2, 1 / 3, 3, 0.7, 2.3])


@st.composite
def calls(draw):
    # Heights and widths of 3 and more: a factor of 1/3 leaves a pixel.
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(3, 7)), draw(st.integers(3, 7)))
    if draw(st.booleans()):
        options = {"size": draw(st.one_of(sizes, st.tuples(sizes, sizes)))}
    else:
        options = {"scale_factor": draw(st.one_of(factors, st.tuples(factors, factors)))}
    options["mode"] = draw(st.sampled_from(["nearest", "bilinear"]))
    if options["mode"] == "bilinear":
        options["align_corners"] = draw(st.booleans())
    return Call({"input": values(shape, draw(seeds))}, options)


ROW = np.array([[[[0.0, 4, 8, 20]]]])
SQUARE = np.array([[[[0.0, 4], [8, 20]]]])

CASE = Case(
    op="interpolate",
    calls=calls(),
    by_hand=[
        # Nearest takes pixel floor(i * 4 / 3): 0, 1, 2; floor(i * 4 / 6): 0, 0, 1, 2, 2, 3.
        (Call({"input": ROW}, {"size": (1, 3)}), [[[[0, 4, 8]]]]),
        (Call({"input": ROW}, {"size": (1, 6)}), [[[[0, 0, 4, 8, 8, 20]]]]),
        # floor(4 * 0.7) = 2 outputs, at 0 and floor(1 / 0.7) = 1, where the size alone would say floor(4 / 2) = 2.
        (Call({"input": ROW}, {"scale_factor": (1, 0.7)}), [[[[0, 4]]]]),
        (Call({"input": ROW}, {"size": (1, 2)}), [[[[0, 8]]]]),
        # Half-pixel centres: positions (i + 0.5) / 2 - 0.5 = -0.25 (held at 0), 0.25, 0.75, 1.25 (no further pixel).
        (
            Call({"input": SQUARE}, {"scale_factor": 2, "mode": "bilinear"}),
            [[[[0, 1, 3, 4], [2, 3.5, 6.5, 8], [6, 8.5, 13.5, 16], [8, 11, 17, 20]]]],
        ),
        # Corners meet: positions 0, 1/2, 1.
        (
            Call({"input": SQUARE}, {"size": 3, "mode": "bilinear", "align_corners": True}),
            [[[[0, 2, 4], [4, 8, 12], [8, 14, 20]]]],
        ),
        # One output: the centre by half-pixels, the first pixel by corners.
        (Call({"input": ROW}, {"size": 1, "mode": "bilinear"}), [[[[6]]]]),
        (Call({"input": ROW}, {"size": 1, "mode": "bilinear", "align_corners": True}), [[[[0]]]]),
        # floor(4 * 0.7) = 2 outputs at 0.5 / 0.7 - 0.5 = 3/14 and 1.5 / 0.7 - 0.5 = 23/14.
        (
            Call({"input": ROW}, {"scale_factor": (1, 0.7), "mode": "bilinear"}),
            [[[[4 * 3 / 14, 4 + 4 * 9 / 14]]]],
        ),
    ],
    refused=[
        Refused({"input": ROW, "size": 2, "align_corners": "no"}, OptionError, r"align_corners must be True or False"),
        Refused({"input": ROW[0], "size": 2}, ShapeError, r"interpolate: input must have 4 axes .*\(1, 1, 4\)"),
        Refused({"input": ROW}, OptionError, r"exactly one of size and scale_factor .*size=None and scale_factor=None"),
        Refused({"input": ROW, "size": 2, "scale_factor": 2}, OptionError, r"exactly one .*size=2 and scale_factor=2"),
        Refused({"input": ROW, "size": 0}, OptionError, r"size must be >= 1.*got 0"),
        Refused({"input": ROW, "size": (2, 2.0)}, OptionError, r"size must be an integer, got 2.0"),
        Refused({"input": ROW, "scale_factor": 0.5}, ShapeError, r"floor\(H \* scale_factor\) .*H=1, W=4.*0.5"),
        Refused({"input": ROW, "scale_factor": -1}, OptionError, r"scale_factor must be .*got -1"),
        Refused({"input": ROW, "scale_factor": np.inf}, OptionError, r"scale_factor must be .*got inf"),
        Refused({"input": ROW, "scale_factor": 2e9}, ShapeError, r"below 2\*\*31.*W=4"),
        Refused({"input": ROW, "size": 2**31 - 1}, ShapeError, r"must fit into memory, got shape \(1, 1, 2147483647, "),
        Refused({"input": ROW, "scale_factor": (1, 2, 3)}, OptionError, r"scale_factor must be .*\(1, 2, 3\)"),
        Refused({"input": ROW, "size": 2, "mode": "bicubic"}, OptionError, r"mode must be one of .*'bicubic'"),
        Refused({"input": ROW, "size": 2, "align_corners": True}, OptionError, r"align_corners is for .*'nearest'"),
        Refused({"input": ROW > 1, "size": 2}, DTypeError, r"float32 or float64, got bool"),
    ],
    linear_in=("input",),
)
