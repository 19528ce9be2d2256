"""What several commands share: numbers as arguments, the next free folder, a word before kernels are compiled."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minicnn.kernels import jit

Commands = argparse._SubParsersAction  # of argparse.ArgumentParser


def count(text: str) -> int:
    """Accept a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def natural(text: str) -> int:
    """Accept a whole number from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return number


count.__name__ = natural.__name__ = "integer"  # argparse: "invalid integer value"


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads (default: all); changes no result")


def set_threads(arguments: argparse.Namespace) -> None:
    """Obey --threads."""
    if arguments.threads is not None:
        jit.set_num_threads(arguments.threads)


def next_free(parent: Path, name: str) -> Path:
    """Return the first of NAME-1, NAME-2, ... that is not there yet."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


def tell_of_compiling() -> None:
    """Say why the first run takes longer, if it is the first."""
    folder = jit.cache_folder()
    if folder is None or not any(folder.rglob("*.nbi")):
        print("The kernels are compiled for this CPU first, which takes some seconds, this once.", file=sys.stderr)
