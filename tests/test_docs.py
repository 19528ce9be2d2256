"""What the documentation says is run: every docstring example, the README's code, its command lines."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
from itertools import product
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import sklearn.datasets

import minicnn
from minicnn import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
MODULES = sorted({"minicnn", *(found.name for found in pkgutil.walk_packages(minicnn.__path__, "minicnn."))})


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    module = importlib.import_module(name)
    with np.printoptions():
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_public_function_has_been_looked_at():
    assert len(MODULES) > 80
    assert "minicnn.kernels.reference.conv2d" in MODULES


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what the README's code asks for: photos, and weights (of a network that nobody trained)."""
    rng = np.random.default_rng(0)
    for part, label, number in product(("train", "val"), ("ants", "bees"), range(4)):
        file = tmp_path / "photos" / part / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(file)
    state = minicnn.models.create("mobilenet", width=0.25).state_dict()
    small = {name: array / 8 if name.endswith("running_var") else array for name, array in state.items()}
    with open(tmp_path / "mobilenet_2_5_224_tf.h5", "wb") as file:  # what a file is, is told by its contents
        np.savez(file, **small)  # with variances of 1 nothing would reach the last maps
    monkeypatch.chdir(tmp_path)


CODE = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("code", CODE, ids=["ten lines", "transfer", "reading"])
def test_the_readme_s_code(code, place):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = {"__name__": "__readme__"}
        exec(compile(code, "README.md", "exec"), names)
    text = printed.getvalue()
    if "transfer" in code:
        assert re.search(r"^ants .* 4\nbees .* 4$", text, re.M)
        return
    if "digits right" in code:
        assert int(re.match(r"(\d+) % of 360 digits right", text)[1]) > 90
    else:
        assert "conv2d" in text


def test_the_readme_s_commands():
    lines = re.findall(r"^python3 -m venv .*$", README, re.M)
    assert len(lines) == 2, "one line to train, one line to test, each with all of its own set-up"
    assert lines[0].endswith(".venv/bin/minicnn train lenet5")
    assert ".venv/bin/python -m pytest" in lines[1]
    commands = re.findall(
        r"^minicnn [^`\n#]*|(?<=`)minicnn (?:train|predict|info|models|summary|diff|transfer|evaluate|augment)[^`\n]*",
        README,
        re.M,
    )
    assert len(commands) >= 11
    for command in commands:
        words = shlex.split(command.replace("IMAGE...", "IMAGE"))[1:]
        cli._parser().parse_args(words)  # exits with status 2 if it does not understand


def test_the_readme_s_picture_is_what_the_command_draws(tmp_path):
    """A new augmentation, another order or other numbers, and the picture is to be drawn again."""
    photo = Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"
    command = re.search(r"`minicnn (augment flower.jpg .*?)`", README)[1].replace("flower.jpg", shlex.quote(str(photo)))
    assert cli.main([*shlex.split(command)[:-1], str(tmp_path / "sheet.jpg")]) == 0
    shown = re.search(r"!\[.*?\]\((.*?)\)", README)[1]
    ours, new = (
        np.asarray(PIL.Image.open(path).reduce(8), np.float32) for path in (ROOT / shown, tmp_path / "sheet.jpg")
    )
    assert ours.shape == new.shape
    assert abs(ours - new).max() < 64  # letters may look a little different elsewhere
    assert abs(ours - new).mean() < 1
