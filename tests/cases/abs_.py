import numpy as np

from cases import Call, Case, one_array, refused_operand, spread

CASE = Case(
    op="abs",
    calls=one_array(spread),
    by_hand=[
        (Call({"input": np.array([-4.0, 0.0, 2.0])}), [4, 0, 2]),
        (Call({"input": np.zeros((2, 0))}), np.zeros((2, 0))),
    ],
    refused=refused_operand("abs"),
    linear_in=(),
    batched=(),
)
