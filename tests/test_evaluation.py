"""The figures of a test: by hand, and against scikit-learn."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from minicnn.errors import LabelError, NotFiniteError, OptionError, ShapeError
from minicnn.train.evaluation import measure

# Six images, three classes, by hand.
LABELS = [0, 0, 1, 1, 2, 2]
CHANCES = [[0.9, 0.1, 0.0], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]]


def test_by_hand():
    found = measure(LABELS, CHANCES, ["ant", "bee", "cow"])
    assert found.count == 6
    assert found.accuracy == 4 / 6
    assert found.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert found.precision.tolist() == [1 / 2, 2 / 3, 1]
    assert found.recall.tolist() == [1 / 2, 1, 1 / 2]
    assert found.support.tolist() == [2, 2, 2]
    assert found.macro["recall"] == found.weighted["recall"] == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(-sum(map(math.log, (0.9, 0.4, 0.7, 0.8, 0.4, 0.2))) / 6)
    # each answer has a bin of its own: 0.9, 0.5 (wrong), 0.7, 0.8, 0.4, 0.6 (wrong)
    assert found.ece == pytest.approx((0.1 + 0.5 + 0.3 + 0.2 + 0.6 + 0.6) / 6)
    assert [bin.count for bin in found.bins] == [1] * 6
    assert found.top5 is None


def test_a_perfect_network():
    found = measure([0, 1, 1], np.eye(2)[[0, 1, 1]])
    assert (found.accuracy, found.ece, found.loss, found.roc_auc) == (1, 0, 0, 1)
    assert (found.accuracy_interval.low, found.accuracy_interval.high) == (1, 1)


@given(st.integers(2, 8), st.integers(1, 60), st.integers(0, 999))
def test_as_scikit_learn(classes, count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    chances = rng.dirichlet(np.ones(classes), count)
    found = measure(labels, chances, bootstrap=20)
    answers = chances.argmax(axis=1)
    there = np.unique(labels)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, answers))
    assert found.loss == pytest.approx(metrics.log_loss(labels, chances, labels=range(classes)), rel=1e-6)
    for name, score in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        for kind, means in (("macro", found.macro), ("weighted", found.weighted)):
            expected = score(labels, answers, labels=there, average=kind, zero_division=0)
            assert means[name] == pytest.approx(expected)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, answers, labels=range(classes)))
    if classes > 5:
        assert found.top5 == pytest.approx(metrics.top_k_accuracy_score(labels, chances, k=5, labels=range(classes)))
    assert (found.roc_auc is None) == (len(there) < classes)
    assert 0 <= found.ece <= 1
    assert sum(bin.count for bin in found.bins) == count
    assert found.accuracy_interval.low <= found.accuracy <= found.accuracy_interval.high
    json.dumps(found.as_dict(), allow_nan=False)
    assert str(count) in str(found)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        right = rng.random(200) < 0.8
        found = measure(np.zeros(200, int), np.where(right[:, None], [0.9, 0.1], [0.1, 0.9]), bootstrap=300, seed=seed)
        covered += found.accuracy_interval.low <= 0.8 <= found.accuracy_interval.high
    assert 88 <= covered <= 100


def test_intervals_are_those_of_drawing_images():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=80)
    chances = rng.dirichlet(np.ones(3), 80) + 0.8 * np.eye(3)[labels]
    chances /= chances.sum(axis=1, keepdims=True)
    found, answers = measure(labels, chances, bootstrap=4000), chances.argmax(axis=1)
    drawn = rng.integers(80, size=(4000, 80))
    accuracy = [(labels[rows] == answers[rows]).mean() for rows in drawn]
    f1 = [metrics.f1_score(labels[rows], answers[rows], average="macro") for rows in drawn[:1000]]
    for values, interval in ((accuracy, found.accuracy_interval), (f1, found.f1_interval)):
        np.testing.assert_allclose(np.percentile(values, (2.5, 97.5)), (interval.low, interval.high), atol=0.02)


def test_many_images_and_classes_take_no_minute():
    labels = np.random.default_rng(0).integers(1000, size=50_000)
    confident = np.full((50_000, 1000), 1e-4, np.float32)
    confident[np.arange(50_000), labels] += 0.9
    begin = time.perf_counter()
    assert measure(labels, confident).accuracy == 1
    assert time.perf_counter() - begin < 60


def test_a_confidence_on_an_edge_belongs_below_it():
    (only,) = measure([0], [[0.6, 0.4]]).bins  # 9 / 15: the paper's intervals are open below and closed above
    assert only.count == 1
    assert len(measure([0, 0], [[0.6, 0.4], [0.61, 0.39]]).bins) == 2


def test_a_class_that_does_not_occur():
    found = measure([0, 0, 2], np.eye(3)[[0, 1, 2]], ["ant", "bee", "cow"])
    assert found.as_dict()["classes"]["bee"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert "bee                   -       -       -       0" in str(found)
    assert found.recall.tolist() == [0.5, 0, 1]
    assert found.macro["recall"] == 0.75  # of the two that occur
    assert found.roc_auc is None


def test_the_same_seed_gives_the_same_interval():
    one, same, other = (measure(LABELS, CHANCES, seed=seed).f1_interval for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize(
    ("labels", "chances", "error", "text"),
    [
        ([], np.zeros((0, 2)), OptionError, "at least one image"),
        ([0, 1], np.ones((3, 2)) / 2, ShapeError, r"\(3, 2\), \(2,\)"),
        ([0, 2], np.ones((2, 2)) / 2, LabelError, r"integers in 0 \.\. 1, got int64 in 0 \.\. 2"),
        ([0, -1], np.ones((2, 2)) / 2, LabelError, r"in -1 \.\. 0"),
        ([0.0, 1.0], np.ones((2, 2)) / 2, LabelError, "got float64"),
        ([0, 1], [[np.nan, 0], [0, 1]], NotFiniteError, "1 are not"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.6]], OptionError, "row 1 sums to 1.1"),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]], OptionError, ">= 0 and sum to 1"),
    ],
)
def test_what_cannot_be_measured(labels, chances, error, text):
    with pytest.raises(error, match=text):
        measure(labels, chances)
    with pytest.raises(ShapeError, match="one per class, got 1 for 2 classes"):
        measure([0], [[0.5, 0.5]], ["a"])
    with pytest.raises(OptionError, match="bootstrap must be an integer >= 1, got 0"):
        measure([0], [[0.5, 0.5]], bootstrap=0)


# ----------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("count", [0, 1, 7, 24])
def test_a_sheet_of_any_number_of_images(tmp_path, count):
    import PIL.Image

    from minicnn.inspect import draw_sheet

    rng = np.random.default_rng(0)
    sizes = [(3, 30, 900), (1, 500, 20), (8, 8), (3, 1, 1)]
    images = [rng.integers(0, 256, sizes[place % 4], np.uint8) for place in range(count)]
    draw_sheet(images, [f"a name that is very long indeed {place}\ntwo" for place in range(count)], tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as drawn:
        assert drawn.width > 400
        assert drawn.height > 200 * max(1, -(-count // 6)) if count != 1 else 50 < drawn.height < 90  # 30 by 900
    with pytest.raises(ShapeError, match="one per image, got 1 for 0"):
        draw_sheet([], ["a"], tmp_path / "b.png")


def test_a_reliability_diagram(tmp_path):
    import PIL.Image

    from minicnn.inspect import draw_reliability

    draw_reliability(measure(LABELS, CHANCES).bins, tmp_path / "a.png", title="six images")
    with PIL.Image.open(tmp_path / "a.png") as drawn:
        assert min(drawn.size) > 400


@pytest.mark.parametrize("classes", [1, 2, 3, 60])
def test_roc_curves(tmp_path, classes):
    import PIL.Image

    from minicnn.inspect import draw_roc

    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 200)
    chances = rng.dirichlet(np.ones(classes), 200)
    draw_roc(labels, chances, [f"class {place} with a very long name" for place in range(classes)], tmp_path / "a.png")
    draw_roc(labels, np.eye(classes)[labels], [str(place) for place in range(classes)], tmp_path / "b.png")
    drawn = [np.asarray(PIL.Image.open(tmp_path / name).convert("RGB")) for name in ("a.png", "b.png")]
    assert min(drawn[0].shape[:2]) > 400
    assert (drawn[0] != drawn[1]).any() == (classes > 1)  # of one class there is no curve


def test_roc_curves_of_what_is_none(tmp_path):
    from minicnn.inspect import draw_roc

    names, path = ("a", "b"), tmp_path / "a.png"
    for labels, chances, error, text in (
        ([0, 1, 1], [[0.5, 0.5]], ShapeError, r"probabilities must be \(N, classes\) for labels \(N,\)"),
        ([0, 1], [[0.5, 0.2, 0.3]] * 2, ShapeError, "names must be one per class, got 2 for 3 classes"),
        ([0, 1], [[0.5, np.nan]] * 2, NotFiniteError, "probabilities must be finite, 2 are not"),
        ([0, 2], [[0.5, 0.5]] * 2, LabelError, r"labels must be integers in 0 .. 1"),
    ):
        with pytest.raises(error, match=f"draw_roc: {text}"):
            draw_roc(labels, chances, names, path)
    with pytest.raises(OptionError, match=r"must end in .png, .jpg, .svg or .pdf"):
        draw_roc([0, 1], [[0.5, 0.5]] * 2, names, tmp_path / "a")
