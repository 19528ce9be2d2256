import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, OutOfRangeError


@st.composite
def calls(draw):
    shape = draw(hnp.array_shapes(max_dims=3, max_side=4))
    places = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3))
    index = draw(hnp.basic_indices(shape, allow_newaxis=True) | places | hnp.arrays(bool, shape))
    return Call({"input": values(shape, draw(seeds))}, {"index": index})


A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])

CASE = Case(
    op="getitem",
    calls=calls(),
    by_hand=[
        (Call({"input": A}, {"index": 1}), [4, 5, 6]),
        (Call({"input": A}, {"index": (0, -1)}), 3),
        (Call({"input": A}, {"index": (slice(None), slice(None, None, -2))}), [[3, 1], [6, 4]]),
        (Call({"input": A}, {"index": ([0, 1, 0], [2, 0, 2])}), [3, 4, 3]),
        (Call({"input": A}, {"index": A > 3}), [4, 5, 6]),
        (Call({"input": A}, {"index": (..., None, 0)}), [[1], [4]]),
        (Call({"input": A}, {"index": []}), np.zeros((0, 3))),
    ],
    refused=[
        Refused({"input": A, "index": slice(None, None, 0)}, OutOfRangeError, r"slice step cannot be zero"),
        Refused({"input": A, "index": [[0], [0, 1]]}, OutOfRangeError, r"must fit the shape \(2, 3\)"),
        Refused({"input": A, "index": np.uint64(2**63)}, OutOfRangeError, r"must fit the shape \(2, 3\)"),
        Refused(
            {"input": A, "index": 2}, OutOfRangeError, r"must fit the shape \(2, 3\), got index 2 is out of bounds"
        ),
        Refused({"input": A, "index": (0, 0, 0)}, OutOfRangeError, r"too many indices"),
        Refused({"input": A, "index": [0.5]}, OutOfRangeError, r"must be of integer"),
        Refused({"input": A, "index": "row"}, OutOfRangeError, r"only integers, slices"),
        Refused({"input": [1.0], "index": 0}, DTypeError, r"input must be a Tensor or a NumPy array, got list"),
    ],
    linear_in=("input",),
    batched=(),
)
