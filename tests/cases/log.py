import numpy as np

from cases import Call, Case, one_array, positive, refused_operand

CASE = Case(
    op="log",
    calls=one_array(positive),
    by_hand=[
        (Call({"input": np.array([1.0, np.e, 0.0, -1.0])}), [0, 1, -np.inf, np.nan]),
        (Call({"input": np.zeros((2, 0))}), np.zeros((2, 0))),
    ],
    refused=refused_operand("log"),
    linear_in=(),
    batched=(),
)
