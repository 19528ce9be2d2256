import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, ShapeError


@st.composite
def calls(draw):
    n, k, m = (draw(st.integers(1, 4)) for _ in range(3))
    a_batch, b_batch = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=2)).input_shapes
    a = (k,) if draw(st.booleans()) and not a_batch else (*a_batch, n, k)
    b = (k,) if draw(st.booleans()) and not b_batch else (*b_batch, k, m)
    return Call({"a": values(a, draw(seeds)), "b": values(b, draw(seeds))})


A = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
V = np.array([1.0, 10.0])

CASE = Case(
    op="matmul",
    calls=calls(),
    by_hand=[
        (Call({"a": A, "b": A[:2]}), [[7, 10], [15, 22], [3, 4]]),
        (Call({"a": A, "b": V}), [21, 43, 10]),
        (Call({"a": V, "b": A[:2]}), [31, 42]),
        (Call({"a": V, "b": V}), 101),
        (Call({"a": A[:, None], "b": A[None, :2]}), [[[7, 10]], [[15, 22]], [[3, 4]]]),
        (Call({"a": np.ones((2, 0)), "b": np.ones((0, 3))}), np.zeros((2, 3))),
        (Call({"a": np.ones((0, 2, 3)), "b": np.ones((3, 4))}), np.zeros((0, 2, 4))),
    ],
    refused=[
        Refused({"a": A, "b": A}, ShapeError, r"a.shape\[-1\] must equal b.shape\[-2\], got \(3, 2\) and \(3, 2\)"),
        Refused({"a": A, "b": np.array(2.0)}, ShapeError, r"both operands must have at least 1 axis.*multiplied by \*"),
        Refused({"a": np.ones((2, 1, 2)), "b": np.ones((3, 2, 1))}, ShapeError, r"before the last two must broadcast"),
        Refused({"a": A, "b": V.astype(np.float32)}, DTypeError, r"all arrays must have one dtype"),
        Refused({"a": A, "b": 2.0}, DTypeError, r"b must be a Tensor or a NumPy array, got float"),
    ],
    linear_in=("a", "b"),
    batched=(),
)
