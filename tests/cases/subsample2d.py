import numpy as np
from hypothesis import strategies as st

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, ShapeError


@st.composite
def calls(draw):
    n, c, h, w = (draw(st.integers(1, most)) for most in (3, 3, 4, 4))
    seed = draw(seeds)
    inputs = {
        "input": values((n, c, 2 * h, 2 * w), seed),
        "weight": values((c,), seed and seed - 1),
        "bias": values((c,), seed and seed // 2),
    }
    return Call(inputs)


IMAGE = np.array([[[[1.0, 2, 0, 1], [3, 4, 1, 0]], [[1, 0, 5, 5], [0, 1, 5, 5]]]])
TWO = np.array([1.0, 2.0])

CASE = Case(
    op="subsample2d",
    calls=calls(),
    by_hand=[
        # Block sums: 10 and 2 in the first map, 2 and 20 in the second.
        (Call({"input": IMAGE, "weight": TWO, "bias": np.array([0.5, -1])}), [[[[10.5, 2.5]], [[3, 39]]]]),
        (Call({"input": IMAGE[:, :1], "weight": np.array([-0.25]), "bias": np.zeros(1)}), [[[[-2.5, -0.5]]]]),
    ],
    refused=[
        Refused({"input": IMAGE[0], "weight": TWO, "bias": TWO}, ShapeError, r"subsample2d: input must have 4 axes"),
        Refused({"input": IMAGE[..., :3], "weight": TWO, "bias": TWO}, ShapeError, r"even, got input \(1, 2, 2, 3\)"),
        Refused({"input": IMAGE[:, :, :1], "weight": TWO, "bias": TWO}, ShapeError, r"even, got input \(1, 2, 1, 4\)"),
        Refused(
            {"input": IMAGE, "weight": TWO[:1], "bias": TWO}, ShapeError, r"weight must have shape \(C,\) = \(2,\)"
        ),
        Refused({"input": IMAGE, "weight": TWO, "bias": TWO[None]}, ShapeError, r"bias must have .*got \(1, 2\)"),
        Refused({"input": IMAGE, "weight": TWO.astype("f4"), "bias": TWO}, DTypeError, r"one dtype.*weight float32"),
        Refused({"input": IMAGE, "weight": [1.0, 2.0], "bias": TWO}, DTypeError, r"weight must be a Tensor or.*list"),
    ],
    linear_in=("input", "weight", "bias"),
)
