import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values, windows
from minicnn.errors import DTypeError, OptionError, ShapeError

# Maps high and wide enough for whole strips and vectors, and for those that run over: size, kernel, options.
ROOMY = [
    ((7, 7), (3, 3), {"padding": 1}),
    ((9, 10), (3, 3), {"padding": ((1, 1), (0, 2))}),
    ((14, 3), (3, 3), {"padding": 1}),
    ((14, 14), (3, 3), {"stride": 2, "padding": "same"}),
    ((15, 19), (3, 3), {"stride": 2, "padding": 1}),
    ((11, 9), (5, 5), {"padding": 2}),
    ((12, 12), (5, 5), {"stride": 2, "padding": "same"}),
    ((10, 9), (3, 3), {"dilation": 2, "padding": 2}),
]


@st.composite
def calls(draw):
    (h, w), kernel, options = draw(windows() | st.sampled_from(ROOMY))
    c_in, multiplier, seed = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(seeds)
    inputs = {
        "input": values((draw(st.integers(1, 3)), c_in, h, w), seed) / 4,
        "weight": values((c_in * multiplier, 1, *kernel), seed),
    }
    if draw(st.booleans()):
        inputs["bias"] = values((c_in * multiplier,), seed)
    return Call(inputs, options)


X = np.arange(1.0, 9).reshape(1, 2, 2, 2)  # 1 2 / 3 4 and 5 6 / 7 8
W = np.array([[[[1.0, 2.0]]], [[[0.0, -1.0]]]])


CASE = Case(
    op="depthwise_conv2d",
    calls=calls(),
    by_hand=[
        (Call({"input": X, "weight": W}), [[[[5], [11]], [[-6], [-8]]]]),
        (Call({"input": X, "weight": W, "bias": np.array([1.0, 2.0])}), [[[[6], [12]], [[-4], [-6]]]]),
        (Call({"input": X, "weight": W}, {"padding": "same", "stride": 2}), [[[[5]], [[-6]]]]),
        (Call({"input": X[:, :1], "weight": W}), [[[[5], [11]], [[-2], [-4]]]]),
    ],
    refused=[
        Refused({"input": X, "weight": W[:1]}, ShapeError, r"weight must be \(C_in \* m, 1, KH, KW\) with C_in = 2"),
        Refused({"input": X, "weight": W.reshape(1, 2, 1, 2)}, ShapeError, r"weight \(1, 2, 1, 2\)"),
        Refused(
            {"input": X, "weight": W, "bias": np.ones(3)}, ShapeError, r"bias must have shape \(C_in \* m,\) = \(2,\)"
        ),
        Refused({"input": X, "weight": W.astype("f4")}, DTypeError, r"one dtype"),
        Refused({"input": X, "weight": W, "dilation": 0}, OptionError, r"dilation must be >= 1"),
        Refused({"input": X, "weight": np.ones((2, 1, 3, 3))}, ShapeError, r"the window must fit"),
    ],
    linear_in=("input", "weight", "bias"),
)
