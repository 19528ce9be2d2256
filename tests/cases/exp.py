import numpy as np

from cases import Call, Case, one_array, refused_operand

CASE = Case(
    op="exp",
    calls=one_array(),
    by_hand=[
        (Call({"input": np.array([0.0, 1.0, -np.inf, 1e4])}), [1, np.e, 0, np.inf]),
        (Call({"input": np.zeros((2, 0))}), np.zeros((2, 0))),
    ],
    refused=refused_operand("exp"),
    linear_in=(),
    batched=(),
)
