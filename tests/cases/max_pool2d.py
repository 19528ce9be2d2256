import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import minicnn.functional as F
from cases import Call, Case, Refused, seeds, spread, windows
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    (h, w), kernel, options = draw(windows(ceil=True, half=True))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), h, w)
    call = Call({"input": spread(shape, draw(seeds))}, {"kernel_size": kernel, **options})
    # A dilated window may step over a small image; minus infinity, the right answer, has no finite differences.
    assume(np.isfinite(F.max_pool2d(**call.inputs, **call.options).numpy()).all())
    return call


IMAGE = np.array([[[[1.0, 5, 2, 0], [3, 4, 8, 1], [7, 7, 0, -1]]]])

CASE = Case(
    op="max_pool2d",
    calls=calls(),
    by_hand=[
        (Call({"input": IMAGE}, {"kernel_size": 2}), [[[[5, 8]]]]),
        (Call({"input": IMAGE}, {"kernel_size": 2, "ceil_mode": True}), [[[[5, 8], [7, 0]]]]),
        (Call({"input": -IMAGE}, {"kernel_size": 3, "stride": 2, "padding": 1}), [[[[-1, 0], [-3, 1]]]]),
        (Call({"input": IMAGE}, {"kernel_size": 2, "dilation": 2, "stride": 1}), [[[[7, 7]]]]),
        (Call({"input": IMAGE}, {"kernel_size": 2, "stride": 2, "padding": "same"}), [[[[5, 8], [7, 0]]]]),
        (Call({"input": IMAGE[..., :1, :1]}, {"kernel_size": 2, "dilation": 2, "padding": 1}), [[[[-np.inf]]]]),
    ],
    refused=[
        Refused({"input": IMAGE, "kernel_size": np.array("2")}, OptionError, r"kernel_size must be an integer"),
        Refused({"input": IMAGE, "kernel_size": 2, "ceil_mode": "no"}, OptionError, r"ceil_mode must be True or False"),
        Refused({"input": IMAGE[0], "kernel_size": 2}, ShapeError, r"max_pool2d: input must have 4 axes .*\(1, 3, 4\)"),
        Refused({"input": IMAGE, "kernel_size": 5}, ShapeError, r"max_pool2d: the window must fit .*H=3"),
        Refused(
            {"input": IMAGE, "kernel_size": 2, "stride": 0}, OptionError, r"max_pool2d: stride must be >= 1.*got 0"
        ),
        Refused({"input": IMAGE, "kernel_size": 2, "padding": 2}, OptionError, r"at most half a window"),
        Refused({"input": IMAGE, "kernel_size": 2.5}, OptionError, r"kernel_size must be an integer, got 2.5"),
        Refused({"input": IMAGE.astype(int), "kernel_size": 2}, DTypeError, r"must be float32 or float64, got int64"),
    ],
)
