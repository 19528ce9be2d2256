import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OptionError, ShapeError

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def calls(draw):
    kernel, stride, dilation, size = draw(pairs), draw(pairs), draw(pairs), draw(pairs)
    padding = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    out = [(size[i] - 1) * stride[i] - 2 * padding[i] + (kernel[i] - 1) * dilation[i] + 1 + extra[i] for i in (0, 1)]
    assume(min(out) >= 1)
    groups, per_in, per_out, seed = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3)),
        draw(seeds),
    )
    inputs = {
        "input": values((draw(st.integers(1, 2)), groups * per_in, *size), seed) / 4,
        "weight": values((groups * per_in, per_out, *kernel), seed),
    }
    if draw(st.booleans()):
        inputs["bias"] = values((groups * per_out,), seed)
    options = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    return Call(inputs, options)


X = np.array([[[[1.0, 10.0]]]])
W = np.array([[[[1.0, 2.0, 3.0]]]])

CASE = Case(
    op="conv_transpose2d",
    calls=calls(),
    by_hand=[
        (Call({"input": X, "weight": W}), [[[[1, 12, 23, 30]]]]),
        (Call({"input": X, "weight": W}, {"stride": 2}), [[[[1, 2, 13, 20, 30]]]]),
        (Call({"input": X, "weight": W, "bias": np.array([0.5])}, {"padding": (0, 1)}), [[[[12.5, 23.5]]]]),
        (Call({"input": X, "weight": W}, {"stride": (1, 2), "output_padding": (0, 1)}), [[[[1, 2, 13, 20, 30, 0]]]]),
        (Call({"input": X, "weight": W}, {"dilation": 2}), [[[[1, 10, 2, 20, 3, 30]]]]),
        (
            Call({"input": X, "weight": W[..., :1]}, {"dilation": 2, "output_padding": 1}),
            [[[[1, 10, 0], [0, 0, 0]]]],
        ),
    ],
    refused=[
        Refused({"input": X, "weight": W[0]}, ShapeError, r"weight must be \(C_in, C_out // groups, KH, KW\)"),
        Refused({"input": X, "weight": W, "groups": 2}, OptionError, r"groups must divide C_in, got groups=2, C_in=1"),
        Refused({"input": X, "weight": W, "output_padding": 1}, OptionError, r"output_padding must be less than"),
        Refused({"input": X, "weight": W, "padding": 3}, ShapeError, r"H_out and W_out must be >= 1, got \(-5, -2\)"),
        Refused({"input": X, "weight": W, "bias": np.ones(2)}, ShapeError, r"bias must have shape \(C_out,\) = \(1,\)"),
        Refused({"input": X, "weight": W.astype("f4")}, DTypeError, r"one dtype"),
    ],
    linear_in=("input", "weight", "bias"),
)
