import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, ShapeError


@st.composite
def calls(draw):
    # 20 spans more than one panel of every width, 300 more than one block of depth.
    n, c_out = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    c_in = draw(st.one_of(st.integers(1, 8), st.just(300)))
    lead = draw(st.sampled_from([(n,), (2, n)])) if c_in < 300 else (n,)
    seed = draw(seeds)
    inputs = {"input": values((*lead, c_in), seed) / c_in, "weight": values((c_out, c_in), seed)}
    if draw(st.booleans()):
        inputs["bias"] = values((c_out,), seed)
    return Call(inputs)


X, W, B = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0], [0.0, -1.0]]), np.array([0.0, 1.0, 10.0])

CASE = Case(
    op="linear",
    calls=calls(),
    by_hand=[
        (Call({"input": X, "weight": W}), [[11, 17, -2]]),
        (Call({"input": X, "weight": W, "bias": B}), [[11, 18, 8]]),
        (Call({"input": X[0], "weight": W}), [11, 17, -2]),
    ],
    refused=[
        Refused(
            {"input": X, "weight": W.T}, ShapeError, r"linear: input.shape\[-1\] .* input \(1, 2\), weight \(2, 3\)"
        ),
        Refused({"input": X, "weight": W[0]}, ShapeError, r"weight must have 2 axes \(O, I\), got shape \(2,\)"),
        Refused(
            {"input": X, "weight": W, "bias": B[:2]}, ShapeError, r"bias must have shape \(O,\) = \(3,\), got \(2,\)"
        ),
        Refused({"input": X.astype("f4"), "weight": W}, DTypeError, r"one dtype, got input float32, weight float64"),
    ],
    linear_in=("input", "weight", "bias"),
)
