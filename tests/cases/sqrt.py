import numpy as np

from cases import Call, Case, one_array, positive, refused_operand

CASE = Case(
    op="sqrt",
    calls=one_array(positive),
    by_hand=[
        (Call({"input": np.array([4.0, 0.0, -1.0])}), [2, 0, np.nan]),
        (Call({"input": np.zeros((2, 0))}), np.zeros((2, 0))),
    ],
    refused=refused_operand("sqrt"),
    linear_in=(),
    batched=(),
)
