import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    shape = tuple(draw(st.integers(1, most)) for most in (2, 3, 5, 5))
    mode = draw(st.sampled_from(["constant", "reflect", "replicate"]))
    w_most, h_most = (size - 1 if mode == "reflect" else 6 for size in (shape[3], shape[2]))
    sides = [draw(st.integers(0, most)) for most in (w_most, w_most, h_most, h_most)]
    options = {"pad": draw(st.sampled_from([tuple, list, np.array]))(sides), "mode": mode}
    if mode == "constant":
        options["value"] = draw(st.sampled_from([0.0, 1, -2.5]))
    return Call({"input": values(shape, draw(seeds))}, options)


IMAGE = np.array([[[[1.0, 2, 3], [4, 5, 6]]]])

CASE = Case(
    op="pad",
    calls=calls(),
    by_hand=[
        (Call({"input": IMAGE}, {"pad": (1, 0, 0, 0)}), [[[[0, 1, 2, 3], [0, 4, 5, 6]]]]),
        (
            Call({"input": IMAGE}, {"pad": (0, 1, 1, 0), "value": 9}),
            [[[[9, 9, 9, 9], [1, 2, 3, 9], [4, 5, 6, 9]]]],
        ),
        (
            Call({"input": IMAGE}, {"pad": (2, 1, 1, 1), "mode": "reflect"}),
            [[[[6, 5, 4, 5, 6, 5], [3, 2, 1, 2, 3, 2], [6, 5, 4, 5, 6, 5], [3, 2, 1, 2, 3, 2]]]],
        ),
        (
            Call({"input": IMAGE}, {"pad": (2, 1, 0, 2), "mode": "replicate"}),
            [[[[1, 1, 1, 2, 3, 3], [4, 4, 4, 5, 6, 6], [4, 4, 4, 5, 6, 6], [4, 4, 4, 5, 6, 6]]]],
        ),
    ],
    refused=[
        Refused({"input": IMAGE, "pad": np.array(1)}, OptionError, r"pad must be four integers .*got array\(1\)"),
        Refused({"input": IMAGE, "pad": (0, 0, 1, 1), "mode": np.ones(2)}, OptionError, r"mode must be one of"),
        Refused({"input": IMAGE[0], "pad": (1, 1, 1, 1)}, ShapeError, r"pad: input must have 4 axes .*\(1, 2, 3\)"),
        Refused({"input": IMAGE, "pad": (1, 1)}, OptionError, r"pad must be four integers .*got \(1, 1\)"),
        Refused({"input": IMAGE, "pad": 1}, OptionError, r"pad must be four integers .*got 1"),
        Refused({"input": IMAGE, "pad": (1, 0, -1, 0)}, OptionError, r"pad must be >= 0.*got -1"),
        Refused({"input": IMAGE, "pad": (0, 0, 2, 0), "mode": "reflect"}, ShapeError, r"less than H .*H=2, padding 2"),
        Refused({"input": IMAGE, "pad": (0, 3, 0, 0), "mode": "reflect"}, ShapeError, r"less than W .*W=3, .*0\+3"),
        Refused({"input": IMAGE, "pad": (0, 0, 0, 0), "mode": "circular"}, OptionError, r"mode must be .*'circular'"),
        Refused(
            {"input": IMAGE, "pad": (0, 0, 0, 0), "mode": "replicate", "value": 1.0}, OptionError, r"value is for mode"
        ),
        Refused({"input": IMAGE, "pad": (0, 0, 0, 0), "value": np.nan}, OptionError, r"value must be a finite.*nan"),
        Refused(
            {"input": IMAGE.astype("f4"), "pad": (0, 0, 0, 0), "value": 1e39}, OptionError, r"finite number.*1e\+39"
        ),
        Refused({"input": IMAGE, "pad": (2**31 - 1,) * 4}, ShapeError, r"must fit into memory, got shape .*4294967297"),
        Refused({"input": IMAGE.astype("f2"), "pad": (1, 1, 1, 1)}, DTypeError, r"float32 or float64, got float16"),
    ],
    linear_in=("input",),
)
