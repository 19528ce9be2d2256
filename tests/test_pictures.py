"""The pictures of a run, looked at by their colours."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image, ImageColor

from minicnn.errors import MissingExtraError, SaveError, ShapeError
from minicnn.inspect import draw_confusion, draw_curves
from minicnn.inspect.pictures import BLUE, ORANGE
from minicnn.train import Row


def rows(losses, errors, validation=True):
    return [
        Row(i + 1, loss, 1 - error, loss if validation else None, 1 - error / 2 if validation else None, 0.1, 1.0)
        for i, (loss, error) in enumerate(zip(losses, errors, strict=True))
    ]


def drawn(draw, *arguments, **options):
    """Draw into a file and return how many pixels have the one and the other colour."""
    path = arguments[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of empty legends, impossible scales, missing glyphs
        draw(*arguments, **options)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    near = {colour: np.abs(pixels - ImageColor.getrgb(colour)).max(axis=-1) <= 2 for colour in (BLUE, ORANGE)}
    return {colour: int(where.sum()) for colour, where in near.items()}


@pytest.mark.parametrize(
    "history",
    [
        rows([2.3, 0.9, 0.2], [0.9, 0.3, 0.05]),
        rows([1.0], [0.5]),  # a single epoch is a point
        rows([0.1, 0.01, 0.0], [0.02, 0.0, 0.0]),  # nothing wrong any more: zero has its place, too
        rows([0.0], [0.0]),
        rows([3e-9, 2e6], [1.0, 1e-6]),
        rows([0.3, 0.3], [0.1, 0.1]),
    ],
)
def test_curves_of_any_run(tmp_path, history):
    pixels = drawn(draw_curves, history, tmp_path / "curves.png", title="lenet5, 99 % of α & $x")
    assert min(pixels.values()) > 20


def test_without_validation_there_is_one_line(tmp_path):
    pixels = drawn(draw_curves, rows([2, 1], [0.5, 0.4], validation=False), tmp_path / "curves.png")
    assert pixels[BLUE] > 100
    assert pixels[ORANGE] == 0


def test_a_run_without_epochs_gives_empty_axes(tmp_path):
    assert drawn(draw_curves, [], tmp_path / "curves.png") == {BLUE: 0, ORANGE: 0}


def test_a_right_answer_is_blue_and_a_wrong_one_orange(tmp_path):
    path = tmp_path / "confusion.png"
    right = drawn(draw_confusion, [[5, 0], [0, 7]], ["cat", "dog"], path)
    assert right[BLUE] > 1000
    assert right[ORANGE] == 0
    wrong = drawn(draw_confusion, [[0, 5], [7, 0]], ["cat", "dog"], path)
    assert wrong[ORANGE] > 1000
    assert wrong[BLUE] == 0


@pytest.mark.parametrize("classes", [1, 2, 10, 40, 1000])
def test_confusion_of_any_number_of_classes(tmp_path, classes):
    names = [f"class number {i}" for i in range(classes)]
    matrix = np.eye(classes, dtype=int)
    matrix[0] = 0  # a class that does not occur
    draw_confusion(matrix, names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as picture:
        assert 40 * min(classes, 40) <= picture.width < 4000  # a thousand classes make no picture of 14 GB


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(ShapeError, match=r"matrix must be \(C, C\) for 3 names, got \(2, 2\)"):
        draw_confusion([[1, 0], [0, 1]], ["a", "b", "c"], tmp_path / "x.png")
    for draw, arguments in ((draw_curves, [rows([1], [1])]), (draw_confusion, [[[1]], ["a"]])):
        with pytest.raises(SaveError, match="cannot be written: No such file"):
            draw(*arguments, tmp_path / "nowhere" / "x.png")


def test_without_matplotlib_the_message_tells_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'minicnn\[all\]'"):
        draw_curves([], tmp_path / "x.png")


def test_the_callers_own_figures_are_left_alone(tmp_path):
    code = (
        "import sys; from minicnn.inspect import draw_confusion; draw_confusion([[1]], ['a'], sys.argv[1]); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "x.png"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
