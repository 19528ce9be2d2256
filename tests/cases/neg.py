import numpy as np

from cases import Call, Case, one_array, refused_operand

CASE = Case(
    op="neg",
    calls=one_array(),
    by_hand=[
        (Call({"input": np.array([1.0, -2.0, np.inf])}), [-1, 2, -np.inf]),
        (Call({"input": np.zeros((2, 0))}), np.zeros((2, 0))),
    ],
    refused=refused_operand("neg"),
    linear_in=("input",),
    batched=(),
)
