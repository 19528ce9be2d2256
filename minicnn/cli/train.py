"""`minicnn train`: train a network on digits."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from minicnn.cli.arguments import add_threads, count, natural, next_free, set_threads, tell_of_compiling
from minicnn.errors import OptionError

if TYPE_CHECKING:
    from minicnn.train.job import Plan


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    train = commands.add_parser(
        "train",
        help="train a network and leave it in a folder, with its curves and its mistakes",
        description="Train a network. Without further arguments it learns the 1,797 handwritten digits that come with "
        "scikit-learn; a fifth of them is held out for the test. What you leave open comes from the network's recipe.",
    )
    train.add_argument(
        "model", metavar="MODEL", help="which network: lenet5, resnet20, ... (`minicnn models` lists all)"
    )
    train.add_argument("--form", help="which form of it: paper, torchvision, ... (`minicnn models` lists all)")
    train.add_argument("--size", type=count, metavar="N", help="pixels along a side, for networks that take any size")
    train.add_argument(
        "--no-aux", action="store_true", help="train without the auxiliary heads of an Inception network"
    )
    train.add_argument("--width", type=float, metavar="W", help="share of a network's maps, such as 0.25")
    train.add_argument(
        "--data",
        choices=("digits", "mnist"),
        help="the digits to learn: scikit-learn's (default), or MNIST's 70,000 from --data-dir",
    )
    train.add_argument("--data-dir", metavar="DIR", help="folder of the four MNIST idx files, gzipped or not")
    train.add_argument("--epochs", type=count, metavar="N", help="how often to go through the training images")
    train.add_argument("--batch-size", type=count, metavar="N", help="images to learn from at a time")
    train.add_argument("--lr", type=float, metavar="RATE", help="learning rate: the size of a step")
    train.add_argument("--optimizer", metavar="NAME", help="SGD, Adam, AdamW, RMSprop, ...: the rule of a step")
    train.add_argument("--seed", type=natural, metavar="N", help="of all random numbers (default: 0)")
    add_threads(train)
    train.add_argument("--out", metavar="RUN", help="folder of the run (default: the next free runs/MODEL-N)")
    train.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, by its own settings; --epochs may be more"
    )
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from minicnn.train import job  # brings pictures and data sets along: not for --help
    from minicnn.train.metrics import per_class_table

    set_threads(arguments)
    if arguments.resume:
        plan, out = _resumed(arguments)
    else:
        plan = job.make_plan(
            arguments.model, form=arguments.form, dataset=arguments.data or "digits", data_dir=arguments.data_dir,
            epochs=arguments.epochs, batch_size=arguments.batch_size, lr=arguments.lr, optimizer=arguments.optimizer,
            seed=arguments.seed or 0, size=arguments.size, width=arguments.width,
            aux=False if arguments.no_aux else None,
        )  # fmt: skip
        out = Path(arguments.out) if arguments.out else next_free(Path("runs"), arguments.model)
    _, result, test = job.run_plan(plan, out, resume=arguments.resume, started=_tell)
    print(f"\nTest accuracy: {100 * result['accuracy']:.2f} % of {len(test)} images that it never learnt from\n")
    print(per_class_table(result["labels"], result["predicted"]))
    print(f"In {out}: checkpoint.safetensors, config.json, history.csv, curves.png, confusion.png")
    return 0


def _tell(message: str) -> None:
    print(message, flush=True)
    tell_of_compiling()


def _resumed(arguments: argparse.Namespace) -> tuple[Plan, Path]:
    """The plan of the run in --out; the arguments given beside --resume must not contradict it."""
    from dataclasses import replace

    from minicnn.train import job

    if arguments.out is None:
        raise OptionError("--resume needs --out RUN, the folder of the run to go on with")
    plan = job.load_plan(arguments.out)
    asked = {
        "--form": (arguments.form, plan.model["form"]),
        "--batch-size": (arguments.batch_size, plan.batch_size),
        "--lr": (arguments.lr, plan.optimizer["lr"]),
        "--optimizer": (arguments.optimizer and arguments.optimizer.lower(), plan.optimizer["name"].lower()),
        "--seed": (arguments.seed, plan.seed),
        "--data": (arguments.data, plan.data),
        "--data-dir": (arguments.data_dir and os.path.abspath(arguments.data_dir), plan.data_dir),
        "--size": (arguments.size, plan.model.get("size")),
        "--width": (arguments.width, plan.model.get("width")),
        "--no-aux": (arguments.no_aux or None, plan.model.get("aux") is False),
        "MODEL": (arguments.model, plan.model["name"]),
    }
    for name, (given, planned) in asked.items():
        if given not in (None, planned):
            raise OptionError(f"--resume goes on by the run's own settings: {name} is {planned} there, got {given}")
    if arguments.epochs is not None:
        plan = replace(plan, epochs=arguments.epochs, schedule=job.stretched(plan.schedule, arguments.epochs))
    return plan, Path(arguments.out)
