import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import minicnn
from cases import Call, Case, Refused, seeds, spread, values
from minicnn.errors import DTypeError, OptionError, ShapeError


def run(**arguments):
    """Hand over fresh running statistics, which a training call changes, in the input's dtype."""
    for name in ("running_mean", "running_var"):
        if arguments.get(name) is not None:
            arguments[name] = arguments[name].astype(arguments["input"].dtype.newbyteorder("="))
    return minicnn.functional.batch_norm2d(**arguments)


@st.composite
def calls(draw):
    shape = n, c, h, w = tuple(draw(st.integers(1, 3)) for _ in range(4))
    training = draw(st.booleans()) and n * h * w > 1
    # The variance of a few values bends sharply where they meet, so they keep their distance.
    inputs = {"input": spread(shape, draw(seeds), gap=0.5)}
    for name in ("weight", "bias"):
        if draw(st.booleans(), label=name):
            inputs[name] = values((c,), draw(seeds))
    options = {"training": training, "eps": draw(st.sampled_from([1e-5, 0.1])), "unbiased": draw(st.booleans())}
    if not training or draw(st.booleans(), label="running statistics"):
        options |= {"running_mean": values((c,), draw(seeds)), "running_var": values((c,), draw(seeds)) ** 2 + 0.1}
    if draw(st.booleans(), label="residual"):
        inputs["residual"] = values(shape, draw(seeds))
    activation = draw(st.sampled_from([None, "relu", "relu6"]))
    if activation:
        before = run(**inputs, **options).numpy()
        assume(min(np.abs(before).min(), np.abs(before - 6).min()) > 0.05)  # the activation has corners at 0 and 6
        options["activation"] = activation
    return Call(inputs, options)


# Channel 0 holds 1 and 3 (mean 2, variance 1), channel 1 holds 0 and 8 (mean 4, variance 16).
X = np.array([[[[1.0, 3.0]], [[0.0, 8.0]]]])
W, B, MEAN, VAR = np.array([2.0, 3.0]), np.array([10.0, 20.0]), np.array([1.0, 4.0]), np.array([4.0, 0.25])
STATS = {"running_mean": MEAN, "running_var": VAR}
R = np.array([[[[0.5, 6.5]], [[-2.0, 4.5]]]])

CASE = Case(
    op="batch_norm2d",
    calls=calls(),
    run=run,
    batched=("input", "residual"),
    linear_in=("weight", "bias"),
    by_hand=[
        (Call({"input": X}, {"training": True, "eps": 0}), [[[[-1, 1]], [[-1, 1]]]]),
        (Call({"input": X}, {"training": True, "eps": 9.0}), [[[[-(0.1**0.5), 0.1**0.5]], [[-0.8, 0.8]]]]),
        (Call({"input": X, "weight": W, "bias": B}, {"training": True, "eps": 0, **STATS}), [[[[8, 12]], [[17, 23]]]]),
        (Call({"input": X, "weight": W}, {"training": True, "eps": 0}), [[[[-2, 2]], [[-3, 3]]]]),
        (Call({"input": X}, {"eps": 0, **STATS}), [[[[0, 1]], [[-8, 8]]]]),
        (Call({"input": X[..., :1], "bias": B}, {"eps": 0, **STATS}), [[[[10]], [[12]]]]),
        # Normalised to -1 and 1 twice; then the residual, then the activation.
        (Call({"input": X, "residual": R}, {"training": True, "eps": 0}), [[[[-0.5, 7.5]], [[-3, 5.5]]]]),
        (
            Call({"input": X, "residual": R}, {"training": True, "eps": 0, "activation": "relu"}),
            [[[[0, 7.5]], [[0, 5.5]]]],
        ),
        (
            Call({"input": X, "residual": R}, {"training": True, "eps": 0, "activation": "relu6"}),
            [[[[0, 6]], [[0, 5.5]]]],
        ),
        (Call({"input": X, "bias": B}, {"eps": 0, **STATS, "activation": "relu6"}), [[[[6, 6]], [[6, 6]]]]),
        # A constant channel has no variance; eps keeps it from dividing 0 by 0.
        (Call({"input": 0 * X + 7}, {"training": True}), 0 * X),
    ],
    refused=[
        Refused({"input": X, "training": "no"}, OptionError, r"training must be True or False, got 'no'"),
        Refused(
            {"input": X[..., :1], "training": True},
            ShapeError,
            r"N \* H \* W must be > 1 in training, got .*\(1, 2, 1, 1\)",
        ),
        Refused(
            {"input": X}, OptionError, r"running_mean and running_var must be given together .*no running_mean and no"
        ),
        Refused(
            {"input": X, "running_mean": MEAN, "training": True}, OptionError, r"got a running_mean and no running_var"
        ),
        Refused(
            {"input": X, "running_mean": MEAN, "running_var": -VAR}, OptionError, r"running_var must be >= 0, got -4"
        ),
        Refused(
            {"input": X, "running_mean": MEAN[:1], "running_var": VAR},
            ShapeError,
            r"running_mean must have shape \(C,\) = \(2,\)",
        ),
        Refused(
            {"input": X, "weight": np.ones(3), "training": True},
            ShapeError,
            r"weight must have shape \(C,\) = \(2,\), got \(3,\)",
        ),
        Refused(
            {"input": X, "bias": B.astype(np.float32), "training": True}, DTypeError, r"input float64, bias float32"
        ),
        Refused({"input": X, "training": True, "momentum": 1.1}, OptionError, r"momentum .* 0 .. 1, got 1.1"),
        Refused({"input": X, "training": True, "eps": -1e-5}, OptionError, r"eps .* got -1e-05"),
        Refused(
            {"input": X, "training": True, "residual": X[..., :1]},
            ShapeError,
            r"residual must have shape input.shape = \(1, 2, 1, 2\), got \(1, 2, 1, 1\)",
        ),
        Refused(
            {"input": X, "training": True, "residual": X.astype(np.float32)},
            DTypeError,
            r"input float64, residual float32",
        ),
        Refused(
            {"input": X, "training": True, "activation": "tanh"},
            OptionError,
            r"activation must be one of 'relu', 'relu6', got 'tanh'",
        ),
        Refused({"input": X[0], "training": True}, ShapeError, r"batch_norm2d: input must have 4 axes"),
    ],
)
