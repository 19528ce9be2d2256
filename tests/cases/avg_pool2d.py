import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values, windows
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    (h, w), kernel, options = draw(windows(dilated=False, ceil=True, half=True))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), h, w)
    padding = draw(st.sampled_from([options["padding"], "same"]))
    options |= {"padding": padding, "count_include_pad": draw(st.booleans())}
    return Call({"input": values(shape, draw(seeds))}, {"kernel_size": kernel, **options})


IMAGE = np.array([[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]]])

CASE = Case(
    op="avg_pool2d",
    calls=calls(),
    by_hand=[
        (Call({"input": IMAGE}, {"kernel_size": 2}), [[[[3]]]]),
        (Call({"input": IMAGE}, {"kernel_size": (2, 3), "stride": 1}), [[[[3.5], [6.5]]]]),
        # Windows of 4, 2, 2 and 1 real pixels: what overhangs never counts, ...
        (Call({"input": IMAGE}, {"kernel_size": 2, "ceil_mode": True}), [[[[3, 4.5], [7.5, 9]]]]),
        # ... and padding does if it is asked to: the window at the corner sees 1, 2, 4, 5 and five zeros.
        (
            Call({"input": IMAGE}, {"kernel_size": 3, "stride": 2, "padding": 1}),
            [[[[12 / 9, 16 / 9], [24 / 9, 28 / 9]]]],
        ),
        (
            Call({"input": IMAGE}, {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
            [[[[3, 4], [6, 7]]]],
        ),
        # The last window would hold column 3, a column of padding, and a third one beyond it: 2 wide, not 3.
        (
            Call({"input": IMAGE}, {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
            [[[[12 / 9, 9 / 6], [15 / 6, 9 / 4]]]],
        ),
        (
            Call({"input": IMAGE}, {"kernel_size": 2, "stride": 2, "padding": "same", "count_include_pad": False}),
            [[[[3, 4.5], [7.5, 9]]]],
        ),
        (
            Call({"input": IMAGE}, {"kernel_size": 2, "stride": 2, "padding": ((0, 1), (1, 0))}),
            [[[[5 / 4, 16 / 4], [7 / 4, 17 / 4]]]],
        ),
    ],
    refused=[
        Refused(
            {"input": IMAGE, "kernel_size": 2, "count_include_pad": 1}, OptionError, r"must be True or False, got 1"
        ),
        Refused({"input": IMAGE[0], "kernel_size": 2}, ShapeError, r"avg_pool2d: input must have 4 axes .*\(1, 3, 3\)"),
        Refused({"input": IMAGE, "kernel_size": 4}, ShapeError, r"avg_pool2d: the window must fit .*H=3"),
        Refused({"input": IMAGE, "kernel_size": 0}, OptionError, r"kernel_size must be >= 1.*got 0"),
        Refused({"input": IMAGE, "kernel_size": 2, "stride": -1}, OptionError, r"stride must be >= 1.*got -1"),
        Refused({"input": IMAGE, "kernel_size": 2, "stride": (1, 1, 1)}, OptionError, r"stride must be .*\(1, 1, 1\)"),
        Refused(
            {"input": IMAGE, "kernel_size": 3, "padding": 2}, OptionError, r"at most half a window, got \(\(2, 2\), "
        ),
        Refused({"input": IMAGE, "kernel_size": 3, "padding": "full"}, OptionError, r"padding must be one of 'same'"),
        Refused({"input": IMAGE.astype(int), "kernel_size": 2}, DTypeError, r"must be float32 or float64, got int64"),
        Refused({"input": IMAGE[..., :0], "kernel_size": 2}, ShapeError, r"C, H, W >= 1, got shape \(1, 1, 3, 0\)"),
    ],
    linear_in=("input",),
)
