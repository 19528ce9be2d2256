import numpy as np

from cases import Call, Case, coarse, refused_operands, two_arrays

ROWS, COLUMNS = np.array([[6.0], [8.0]]), np.array([2.0, 4.0])

CASE = Case(
    op="div",
    calls=two_arrays(second=coarse),
    by_hand=[
        (Call({"a": ROWS, "b": COLUMNS}), [[3, 1.5], [4, 2]]),
        (Call({"a": ROWS, "b": ROWS}), [[1], [1]]),
        (Call({"a": COLUMNS}, {"b": 2}), [1, 2]),
        (Call({"a": np.ones((0, 1)), "b": COLUMNS}), np.ones((0, 2))),
        (Call({"a": np.array([1.0, 0.0, -1.0])}, {"b": 0}), [np.inf, np.nan, -np.inf]),
    ],
    refused=refused_operands("div"),
    linear_in=("a",),
    batched=(),
)
