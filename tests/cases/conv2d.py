import numpy as np
from hypothesis import strategies as st

import minicnn
from cases import Call, Case, Refused, seeds, values, windows
from minicnn.errors import DTypeError, OptionError, ShapeError


@st.composite
def calls(draw):
    (h, w), kernel, options = draw(windows(most_pixels=6))
    if draw(st.booleans()) and max(options["dilation"]) == 1:
        h, w = max(h, kernel[0]), max(w, kernel[1])
        options["padding"] = draw(st.sampled_from(["same", "valid", 0]))
    n = draw(st.integers(1, 3))
    seed = draw(seeds)
    how = draw(st.sampled_from(["plain", "groups", "table"]))
    if how == "table":
        c_in, c_out = draw(st.integers(1, 3)), draw(st.integers(1, 4))
        marks = draw(st.lists(st.booleans(), min_size=c_in * c_out, max_size=c_in * c_out))
        options["table"] = np.array([True, *marks[1:]]).reshape(c_out, c_in)
        weight = values((int(options["table"].sum()), *kernel), seed)
    else:
        options["groups"] = 1 if how == "plain" else draw(st.integers(1, 3))
        c_in, per_out = draw(st.integers(1, 3)) * options["groups"], draw(st.integers(1, 7 if how == "plain" else 2))
        c_out = per_out * options["groups"]
        weight = values((c_out, c_in // options["groups"], *kernel), seed)
    inputs = {"input": values((n, c_in, h, w), seed) / 4, "weight": weight}
    activation = draw(st.sampled_from([None, "relu", "relu6"]))
    if draw(st.booleans(), label="bias"):
        inputs["bias"] = values((c_out,), seed)
    if draw(st.booleans(), label="residual"):
        inputs["residual"] = values(minicnn.functional.conv2d(**inputs, **options).shape, seed // 2)
    if activation:  # whole numbers, and a half added once, keep clear of its corners, 0 and 6
        inputs = {name: np.round(2 * array) for name, array in inputs.items()}
        last = "residual" if "residual" in inputs else "bias"
        inputs[last] = inputs.get(last, np.zeros(c_out)) + 0.5
        options["activation"] = activation
    return Call(inputs, options)


X = np.arange(1.0, 10).reshape(1, 1, 3, 3)  # 1 2 3 / 4 5 6 / 7 8 9
W = np.array([[[[1.0, 2.0], [0.0, -1.0]]]])
TWO = np.concatenate([X, 10 * X], axis=1)
BIAS = np.array([0.5])
R = np.array([[[[1.0, -3.0], [0.0, 1.0]]]])

CASE = Case(
    op="conv2d",
    calls=calls(),
    by_hand=[
        (Call({"input": X, "weight": W}), [[[[0, 2], [6, 8]]]]),
        (Call({"input": X, "weight": W, "bias": BIAS}, {"stride": 2, "padding": 1}), [[[[-0.5, -2.5], [1.5, 8.5]]]]),
        (Call({"input": X, "weight": W}, {"dilation": 2}), [[[[1 + 6 - 9]]]]),
        (Call({"input": X, "weight": W, "residual": R}), [[[[1, -1], [6, 9]]]]),
        (Call({"input": X, "weight": -W, "bias": BIAS}, {"activation": "relu"}), [[[[0.5, 0], [0, 0]]]]),
        (Call({"input": X, "weight": W, "bias": BIAS, "residual": R}, {"activation": "relu6"}), [[[[1.5, 0], [6, 6]]]]),
        (Call({"input": X, "weight": W}, {"padding": "same", "stride": 2}), [[[[0, 3], [23, 9]]]]),
        (
            Call({"input": TWO, "weight": np.concatenate([W, W])}, {"groups": 2}),
            [[[[0, 2], [6, 8]], [[0, 20], [60, 80]]]],
        ),
        (
            Call(
                {"input": TWO, "weight": np.concatenate([W[0], W[0], -W[0]])}, {"table": np.array([[0, 1], [1, 1]]) > 0}
            ),
            [[[[0, 20], [60, 80]], [[0, 2 - 20], [6 - 60, 8 - 80]]]],
        ),
    ],
    refused=[
        Refused({"input": X, "weight": W, "stride": np.array("2")}, OptionError, r"stride must be an integer"),
        Refused(
            {"input": X, "weight": W[0], "table": [[True], [True, False]]}, ShapeError, r"table must be rectangular"
        ),
        Refused(
            {"input": X, "weight": W[0]}, ShapeError, r"weight must be \(C_out, C_in // groups, KH, KW\).*\(1, 2, 2\)"
        ),
        Refused({"input": TWO, "weight": W}, ShapeError, r"C_in must equal weight.shape\[1\] \* groups, got input"),
        Refused({"input": X[..., None][0], "weight": W}, ShapeError, r"NHWC"),
        Refused({"input": TWO, "weight": np.ones((3, 1, 1, 1)), "groups": 2}, OptionError, r"groups must divide C_out"),
        Refused({"input": X, "weight": W, "stride": 0}, OptionError, r"stride must be >= 1 .*got 0"),
        Refused({"input": X, "weight": W, "padding": -1}, OptionError, r"padding must be >= 0 .*got -1"),
        Refused({"input": X, "weight": W, "padding": "full"}, OptionError, r"padding must be one of 'same', 'valid'"),
        Refused({"input": X, "weight": np.ones((1, 1, 5, 5))}, ShapeError, r"the window must fit .* spans 5"),
        Refused({"input": X[:, :, :0], "weight": W}, ShapeError, r"C, H, W >= 1, got shape \(1, 1, 0, 3\)"),
        Refused({"input": X[:, :0], "weight": W}, ShapeError, r"C, H, W >= 1, got shape \(1, 0, 3, 3\)"),
        Refused({"input": X, "weight": W, "bias": np.ones(2)}, ShapeError, r"bias must have shape \(C_out,\) = \(1,\)"),
        Refused(
            {"input": X, "weight": W, "residual": X},
            ShapeError,
            r"residual must have shape \(N, C_out, H_out, W_out\) = \(1, 1, 2, 2\), got \(1, 1, 3, 3\)",
        ),
        Refused({"input": X, "weight": W, "residual": R.astype("f4")}, DTypeError, r"weight float64, residual float32"),
        Refused(
            {"input": X, "weight": W, "activation": "tanh"},
            OptionError,
            r"activation must be one of 'relu', 'relu6', got 'tanh'",
        ),
        Refused({"input": X, "weight": W.astype("f4")}, DTypeError, r"one dtype, got input float64, weight float32"),
        Refused({"input": TWO, "weight": W[0], "table": np.ones((1, 2), int)}, DTypeError, r"table must be a bool"),
        Refused({"input": TWO, "weight": W[0], "table": np.ones((1, 2), bool)}, ShapeError, r"connections = 2"),
        Refused({"input": X.tolist(), "weight": W}, DTypeError, r"input must be a Tensor or a NumPy array, got list"),
    ],
    batched=("input", "residual"),
    linear_in=("input", "weight", "bias", "residual"),
)
