"""What the documentation says is run: every docstring example, the README's code, its command lines."""

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

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


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.S), ids=["ten lines", "reading"])
def test_the_readme_s_code(code):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "__readme__"})
    text = printed.getvalue()
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
        r"^minicnn [^`\n#]*|(?<=`)minicnn (?:train|predict|info|models|summary|diff)[^`\n]*", README, re.M
    )
    assert len(commands) >= 11
    for command in commands:
        words = shlex.split(command.replace("IMAGE...", "IMAGE"))[1:]
        cli._parser().parse_args(words)  # exits with status 2 if it does not understand
