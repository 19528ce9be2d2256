import numpy as np

from cases import Call, Case, refused_operands, two_arrays

ROWS, COLUMNS = np.array([[6.0], [8.0]]), np.array([2.0, 4.0])

CASE = Case(
    op="mul",
    calls=two_arrays(),
    by_hand=[
        (Call({"a": ROWS, "b": COLUMNS}), [[12, 24], [16, 32]]),
        (Call({"a": ROWS, "b": ROWS}), [[36], [64]]),
        (Call({"a": COLUMNS}, {"b": 2}), [4, 8]),
        (Call({"a": np.ones((0, 1)), "b": COLUMNS}), np.ones((0, 2))),
    ],
    refused=refused_operands("mul"),
    linear_in=("a", "b"),
    batched=(),
)
