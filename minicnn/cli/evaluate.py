"""`minicnn evaluate`: test a trained network on more pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from minicnn.cli.arguments import add_threads, set_threads, tell_of_compiling


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    evaluate = commands.add_parser(
        "evaluate",
        help="test a trained network on more pictures",
        description="Let a trained network look at pictures whose classes are known. Prints its figures, and writes "
        "them (evaluation.json) and pictures of its mistakes.",
    )
    evaluate.add_argument(
        "folder", metavar="RUN", help="a folder that `minicnn train` or `minicnn transfer` has written"
    )
    evaluate.add_argument(
        "data",
        metavar="DATA",
        help="folders CLASS/*.jpg, a CSV list path,label, or files of MNIST or CIFAR; where DATA is divided, its "
        "validation part",
    )
    evaluate.add_argument("--out", metavar="DIR", help="folder to write to (default: RUN/evaluation)")
    evaluate.add_argument("--skip-unreadable", action="store_true", help="go on without files that cannot be read")
    add_threads(evaluate)
    evaluate.set_defaults(run=_evaluate)


def _evaluate(arguments: argparse.Namespace) -> int:
    from minicnn.transfer.run import evaluate_run

    set_threads(arguments)
    tell_of_compiling()
    out = Path(arguments.out or Path(arguments.folder) / "evaluation")
    found, notes = evaluate_run(arguments.folder, arguments.data, out, skip=arguments.skip_unreadable)
    for note in notes:
        print(f"note: {note}")
    print(found)
    print(f"\nIn {out}: evaluation.json, confusion.png, roc.png, reliability.png, mistakes.png")
    return 0
