import numpy as np

from cases import Call, Case, refused_operands, two_arrays

ROWS, COLUMNS = np.array([[6.0], [8.0]]), np.array([2.0, 4.0])

CASE = Case(
    op="add",
    calls=two_arrays(),
    by_hand=[
        (Call({"a": ROWS, "b": COLUMNS}), [[8, 10], [10, 12]]),
        (Call({"a": ROWS, "b": ROWS}), [[12], [16]]),
        (Call({"a": COLUMNS}, {"b": 2}), [4, 6]),
        (Call({"a": np.ones((0, 1)), "b": COLUMNS}), np.ones((0, 2))),
    ],
    refused=refused_operands("add"),
    linear_in=("a", "b"),
    batched=(),
)
