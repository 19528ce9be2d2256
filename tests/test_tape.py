"""The printed and the drawn tape."""

import itertools
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
import minicnn.functional as F
from minicnn import Tensor
from minicnn.errors import MissingExtraError, OptionError, SaveError
from minicnn.inspect import draw_tape, tape
from minicnn.inspect.tape import GAP, _layers, _picture, _place, _youngest_first


def named(name: str, *shape: int) -> Tensor:
    tensor = Tensor(np.ones(shape), requires_grad=True)
    tensor.name = name
    return tensor


def lenet():
    model = minicnn.models.create("lenet5", form="modern")
    images, labels = np.zeros((8, 1, 32, 32), np.float32), np.zeros(8, int)
    return F.cross_entropy(model(images), labels), model


# ------------------------------------------------------------------------------------ as text


def test_every_op_its_inputs_and_what_it_saved():
    w, b = named("w", 2, 3), named("b", 3)
    hidden = w.exp() + b
    loss = (hidden * hidden).sum()
    assert tape(loss).splitlines() == [
        "op      output  reads  saves",
        "#4 sum  ()      #3     -",
        "#3 mul  (2, 3)  #2     (2, 3) 48 B",
        "#2 add  (2, 3)  #1, b  -",
        "#1 exp  (2, 3)  w      (2, 3) 48 B",
        "4 ops, 2 leaves of 9 elements, 96 B saved",
    ]
    loss.backward()
    assert tape(loss).splitlines() == [
        "op      output  reads                saves",
        "#1 sum  ()      freed by backward()  -",
        "1 op, 0 leaves of 0 elements, 0 B saved",
    ]


def test_leaves():
    assert tape(named("w", 2)) == "w: no recorded op made this tensor"
    assert tape(Tensor(np.ones((2, 3)))) == "leaf (2, 3): no recorded op made this tensor"
    assert "leaf (2, 3)" in tape(Tensor(np.ones((2, 3)), requires_grad=True).sum())


def test_an_array_saved_by_several_ops_counts_once():
    w = named("w", 1000)
    once = tape((w * w).sum())
    often = tape((w * w + w.log() + w.reshape(10, 100).log().flatten()).sum())
    assert once.endswith("8 kB saved")
    assert often.endswith("8 kB saved")


def test_only_the_part_that_leads_to_the_tensor():
    w = named("w", 2)
    middle = w * 2.0
    other = middle.exp()
    assert "exp" not in tape(middle.log())
    assert "log" not in tape(other)


def test_a_long_tape_can_be_printed():
    x = named("x", 1)
    y = x
    for _ in range(10_000):
        y = y + x
    lines = tape(y).splitlines()
    assert len(lines) == 10_002
    assert lines[1].split() == ["#10000", "add", "(1,)", "#9999,", "x", "-"]
    assert lines[-2].split() == ["#1", "add", "(1,)", "x", "-"]


def test_a_network_names_its_parameters():
    loss, model = lenet()
    text = tape(loss, model)
    for name, _ in model.named_parameters():
        assert len(re.findall(rf"\b{re.escape(name)}\b", text)) == 1
    assert "leaf (" not in text
    assert "10 leaves of 61,706 elements" in text
    assert [line.split()[1] for line in text.splitlines()[1:4]] == ["cross_entropy", "linear", "relu"]


# ------------------------------------------------------------------------------------ as a picture


def boxes_of(figure):
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    texts = {text: text.get_window_extent(renderer) for text in axes.texts if text.get_text()}
    return [patch.get_window_extent(renderer) for patch in axes.patches], texts


@pytest.mark.parametrize("form", ["modern", "paper"])
def test_every_text_stands_in_its_box_and_no_box_on_another(form):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    model = minicnn.models.create("lenet5", form=form)
    figure = _picture(_youngest_first(model(np.zeros((8, 1, 32, 32), np.float32)).node), {})
    FigureCanvasAgg(figure)
    boxes, texts = boxes_of(figure)
    assert len(boxes) == len(texts) - 1  # the summary has none
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    for text, extent in texts.items():
        inside = [
            box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1 for box in boxes
        ]
        assert sum(inside) == (0 if "saved" in text.get_text() else 1)
        assert extent.x0 >= 0
        assert extent.x1 <= figure.bbox.x1


def test_files(tmp_path):
    for ending, start in [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]:
        path = tmp_path / f"tape.{ending}"
        loss, model = lenet()
        draw_tape(loss, path, model)
        assert path.read_bytes().startswith(start)


def test_drawing_leaves_the_graph_usable(tmp_path):
    w = named("w", 2)
    loss = (w * w).sum()
    draw_tape(loss, str(tmp_path / "tape.svg"))
    loss.backward()
    assert w.grad.numpy().tolist() == [2.0, 2.0]
    with pytest.raises(OptionError, match="draw_tape: tensor must come from a recorded op not yet walked through"):
        draw_tape(loss, tmp_path / "tape.svg")
    with pytest.raises(OptionError, match="draw_tape: tensor must come from a recorded op"):
        draw_tape(w, tmp_path / "tape.svg")


def test_what_cannot_be_drawn(tmp_path):
    x = named("x", 1)
    with pytest.raises(OptionError, match=r"path must end in .png, .jpg, .svg or .pdf, got 'tape.gif'"):
        draw_tape(x * 2.0, "tape.gif")
    with pytest.raises(SaveError, match=r"missing/tape.png: cannot be written: No such file or directory"):
        draw_tape(x * 2.0, tmp_path / "missing" / "tape.png")
    y = x
    for _ in range(1001):
        y = y + x
    with pytest.raises(OptionError, match=r"at most 1000 ops can be drawn, got 1001; print tape\(\) instead"):
        draw_tape(y, tmp_path / "tape.png")


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        MissingExtraError, match=r"draw_tape needs the package matplotlib: pip install 'minicnn\[all\]'"
    ):
        draw_tape(named("w", 1) * 2.0, tmp_path / "tape.png")
    assert tape(named("w", 1) * 2.0)


# ------------------------------------------------------------------------------------ the layout


def layout(tensor: Tensor):
    rows = _layers(_youngest_first(tensor.node), {})
    _place(rows)
    return rows


def test_a_chain_is_a_straight_line():
    x = named("x", 2, 2)
    rows = layout(((x * 2.0).exp().log() @ x).reshape(4).sum())
    assert [len(row) for row in rows] == [1] * 6
    assert {box.x for row in rows for box in row} == {0.0}


def test_a_diamond_is_symmetric():
    x = named("x", 2) * 2.0
    rows = layout(x.exp() + x.log())
    assert [sorted(box.node.name for box in row) for row in rows] == [["add"], ["exp", "log"], ["mul"]]
    left, right = rows[1]
    assert rows[0][0].x == pytest.approx((left.x + right.x) / 2)


def test_many_leaves_take_no_more_room_than_three():
    rows = layout(F.concat([named(name, 1) for name in "abcdef"]))
    assert rows[0][0].leaves == ["a", "b", "and 4 more"]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=20))
def test_random_graphs_are_laid_out_without_overlap(program):
    made = [named("x", 1), named("a rather long name", 1)]
    for i, j in program:
        made.append(made[i % len(made)] + made[j % len(made)])
    last = made[-1]
    rows = layout(last)
    boxes = [box for row in rows for box in row]
    nodes = [box.node for box in boxes if box.node]
    assert sorted(nodes, key=id) == sorted(_youngest_first(last.node), key=id)
    for row in rows:
        for a, b in itertools.pairwise(row):
            assert a.x + a.right + GAP <= b.x - b.width / 2 + 1e-9
    for box in boxes:
        assert all(upper.row == box.row + 1 and box in upper.below for upper in box.above)
        if box.node is None:
            assert (len(box.above), len(box.below)) == (1, 1)
    # Every edge of the tape is there, and no other.
    drawn = set()
    for box in boxes:
        for upper in box.above if box.node else ():
            while upper.node is None:
                upper = upper.above[0]
            drawn.add((upper.node, box.node))
    assert drawn == {(t.node, node) for node in nodes for t, _ in node.pairs if t.node}
