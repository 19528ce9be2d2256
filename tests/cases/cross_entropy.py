import numpy as np
from hypothesis import strategies as st

import minicnn
from cases import Call, Case, Refused, seeds, values
from minicnn.errors import DTypeError, GraphError, LabelError, OptionError, ShapeError


def run(input, target, weight=None, **options):
    """Give the constants the input's dtype, which the battery changes."""
    if isinstance(target, np.ndarray) and target.dtype == np.float64:
        target = target.astype(input.dtype.newbyteorder("="))
    if isinstance(weight, np.ndarray):
        weight = weight.astype(input.dtype.newbyteorder("="))
    return minicnn.functional.cross_entropy(input, target, weight, **options)


@st.composite
def calls(draw):
    n, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rest = draw(st.sampled_from([(), (3,), (2, 2)]))
    rng = np.random.default_rng(draw(seeds))
    options = {
        "reduction": draw(st.sampled_from(["mean", "sum", "none"])),
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0])),
        "weight": draw(st.sampled_from([None, rng.uniform(0.5, 2, classes)])),
    }
    if draw(st.booleans(), label="class indices"):
        labels = rng.integers(0, classes, (n, *rest))
        options["ignore_index"] = draw(st.sampled_from([-100, 0, -1]))
        if options["ignore_index"] < 0:
            labels[rng.random(labels.shape) < 0.2] = options["ignore_index"]
        labels.flat[0] = classes - 1
        if options["ignore_index"] == classes - 1:  # something has to count
            options["ignore_index"] = -100
        options["target"] = labels.astype(draw(st.sampled_from([np.int8, np.int32, np.int64, ">i2"])))
    else:
        options["target"] = rng.dirichlet(np.ones(classes), (n, *rest)).swapaxes(1, -1).reshape(n, classes, *rest)
    return Call({"input": values((n, classes, *rest), draw(seeds))}, options)


# Softmax of the rows: (1/4, 1/2, 1/4) and (1/2, 1/10, 2/5).
SCORES = np.log([[1.0, 2.0, 1.0], [5.0, 1.0, 4.0]])
LABELS = np.array([1, 2])
LOG = np.log


def indices(target=LABELS, **options):
    return Call({"input": SCORES}, {"target": target, **options})


CASE = Case(
    op="cross_entropy",
    calls=calls(),
    run=run,
    batched=(),  # the target would have to be empty too: tests/functional/test_losses.py
    by_hand=[
        (indices(), (LOG(2) + LOG(2.5)) / 2),
        (indices(reduction="none"), LOG([2, 2.5])),
        (indices(reduction="sum", target=LABELS.astype(np.uint8)), LOG(5)),
        (indices(reduction="sum", ignore_index=1), LOG(2.5)),
        (indices(ignore_index=1), LOG(2.5)),
        (indices(target=np.array([-100, -100])), np.nan),
        (indices(weight=np.array([9.0, 3.0, 1.0])), (3 * LOG(2) + LOG(2.5)) / 4),
        (
            indices(target=np.array([1, -100]), label_smoothing=0.3, weight=np.array([1.0, 2.0, 4.0])),
            (0.7 * 2 * LOG(2) + 0.1 * (LOG(4) + 2 * LOG(2) + 4 * LOG(4))) / 2,
        ),
        (indices(target=np.array([[0.5, 0.5, 0], [0, 0, 1]])), ((LOG(4) + LOG(2)) / 2 + LOG(2.5)) / 2),
        (
            indices(target=np.array([[0, 1.0, 0], [0, 0, 1]]), weight=np.array([9.0, 3.0, 1.0])),
            (3 * LOG(2) + LOG(2.5)) / 2,
        ),
        # Images: one row, two pixels, the rows of SCORES as their scores.
        (Call({"input": SCORES.T.reshape(1, 3, 1, 2)}, {"target": LABELS.reshape(1, 1, 2)}), (LOG(2) + LOG(2.5)) / 2),
        (
            Call({"input": np.array([[1e4, 0.0], [0.0, 1e4]])}, {"target": np.array([0, 0]), "reduction": "none"}),
            [0, 1e4],
        ),
        (Call({"input": np.array([[0.0, -np.inf]])}, {"target": np.array([0])}), 0),
    ],
    refused=[
        Refused(
            {"input": SCORES, "target": np.array([0, 3])},
            LabelError,
            r"target must lie in 0 \.\. C-1 = 2 or be ignore_index = -100, got 3 at position \(1,\)",
        ),
        Refused({"input": SCORES, "target": np.array([-1, 0], np.int8)}, LabelError, r"got -1 at position \(0,\)"),
        Refused(
            {"input": SCORES, "target": np.array([2**63, 0], np.uint64)}, LabelError, r"got 9223372036854775808 at"
        ),
        Refused(
            {"input": SCORES, "target": np.array([0, 1, 2])}, ShapeError, r"target must have shape \(N,\) = \(2,\), got"
        ),
        Refused(
            {"input": SCORES, "target": np.array([0.0, 1.0])}, ShapeError, r"target must be integer class indices or"
        ),
        Refused({"input": SCORES, "target": np.array([True, False])}, DTypeError, r"array of integers, got bool"),
        Refused({"input": SCORES, "target": [0, 1]}, DTypeError, r"array of integers, got list"),
        Refused(
            {"input": SCORES, "target": SCORES.astype(np.float32)},
            DTypeError,
            r"one dtype, got input float64, target float32",
        ),
        Refused(
            {"input": SCORES, "target": SCORES, "ignore_index": 1}, OptionError, r"ignore_index is for class indices"
        ),
        Refused(
            {"input": SCORES, "target": minicnn.Tensor(SCORES, requires_grad=True)},
            GraphError,
            r"target gets no gradient",
        ),
        Refused({"input": SCORES[0], "target": LABELS}, ShapeError, r"input must be \(N, C\) .*got shape \(3,\)"),
        Refused(
            {"input": SCORES, "target": LABELS, "weight": np.ones(2)},
            ShapeError,
            r"weight must have shape \(C,\) = \(3,\)",
        ),
        Refused(
            {"input": SCORES, "target": LABELS, "reduction": "max"}, OptionError, r"'mean', 'sum', 'none', got 'max'"
        ),
        Refused(
            {"input": SCORES, "target": LABELS, "label_smoothing": 1.5}, OptionError, r"label_smoothing .* got 1.5"
        ),
    ],
)
