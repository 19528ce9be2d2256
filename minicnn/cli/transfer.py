"""`minicnn transfer`: a pretrained network learns to tell other things apart."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.cli.arguments import add_threads, count, natural, next_free, set_threads, tell_of_compiling
from minicnn.errors import OptionError

if TYPE_CHECKING:
    from minicnn.transfer.plan import Plan


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    transfer = commands.add_parser(
        "transfer",
        help="teach a pretrained network other classes, from few photos",
        description="Load a network with published weights but without its last layer, freeze it, put a new head on it "
        "and train that; then, with --fine-tune, the network's last stages too. What comes of it is tested on the "
        "validation part. Leaves a folder with report.json, the network, and pictures.",
    )
    transfer.add_argument("model", metavar="MODEL", help="which network: mobilenet, resnet50, ...")
    transfer.add_argument(
        "--weights", metavar="FILE", help="file of its weights (default: the catalogue's, downloaded)"
    )
    transfer.add_argument(
        "--data", metavar="DIR", help="train/CLASS/*.jpg and val/CLASS/*.jpg; or CLASS/*.jpg, a CSV list path,label, "
        "or the files of CIFAR or MNIST",
    )  # fmt: skip
    transfer.add_argument("--out", metavar="RUN", help="folder of the run (default: the next free runs/MODEL-N)")
    transfer.add_argument("--form", help="which form of MODEL, if the file does not tell")
    transfer.add_argument(
        "--width", type=float, metavar="W", help="share of the network's maps, if the file does not tell"
    )
    transfer.add_argument("--size", type=count, metavar="N", help="pixels along a side of what the network sees")
    transfer.add_argument(
        "--validation", type=float, metavar="S", help="share to test on where DIR is not divided (default: 0.2)"
    )
    transfer.add_argument(
        "--tested",
        type=int,
        choices=(1, 2, 10),
        help="views of a photo over which a test averages: the middle, it and its mirror image (default), ten crops",
    )
    transfer.add_argument("--seed", type=natural, metavar="N", help="of all random numbers (default: 0)")
    head = transfer.add_argument_group("the head")
    head.add_argument("--epochs", type=count, metavar="N", help="default: 60")
    head.add_argument("--views", type=natural, metavar="N", help="augmented views of each photo that it learns from")
    head.add_argument("--batch-size", type=count, metavar="N", help="default: 32")
    head.add_argument("--lr", type=float, metavar="RATE")
    head.add_argument("--dropout", type=float, metavar="P")
    head.add_argument("--smoothing", type=float, metavar="S", help="share of a label that is spread over all classes")
    tune = transfer.add_argument_group("fine-tuning")
    tune.add_argument("--fine-tune", metavar="STAGE", help="the first stage that learns too (`minicnn summary MODEL`)")
    tune.add_argument("--tune-epochs", type=count, metavar="N", help="default: 10")
    tune.add_argument(
        "--tune-lr", type=float, metavar="RATE", help="of the head; each stage before it has 0.7 of the next"
    )
    tune.add_argument("--mix", choices=("mixup", "cutmix"), help="mix the photos of a batch, and their labels")
    tune.add_argument("--patience", type=count, metavar="N",
                      help="stop after N epochs without a better one, on a tenth of the training photos")  # fmt: skip
    more = transfer.add_argument_group("more")
    more.add_argument("--folds", type=count, metavar="K", help="cross-validate on the training part as well")
    more.add_argument("--from-scratch", action="store_true", help="train the same network from new weights, to compare")
    more.add_argument("--balanced", action="store_true", help="let every class be seen equally often")
    more.add_argument("--skip-unreadable", action="store_true", help="go on without files that cannot be read")
    more.add_argument("--resume", action="store_true", help="go on with the run in --out, by its own settings")
    add_threads(more)  # type: ignore[arg-type]
    transfer.set_defaults(run=_transfer)


# Arguments that are attributes of the plan, of how the head learns, of how the rest does.
PLAN = ("validation", "tested", "seed", "folds", "from_scratch", "balanced", "skip_unreadable")
HEAD = {"epochs": "epochs", "views": "views", "batch_size": "batch_size", "lr": "lr", "dropout": "dropout",
        "smoothing": "smoothing"}  # fmt: skip
TUNE = {"tune_epochs": "epochs", "tune_lr": "lr", "mix": "mix", "patience": "patience", "smoothing": "smoothing",
        "batch_size": "batch_size"}  # fmt: skip


def _transfer(arguments: argparse.Namespace) -> int:
    from minicnn.transfer.job import run_plan
    from minicnn.transfer.plan import load_plan

    set_threads(arguments)
    plan = _plan(arguments) if not arguments.resume else None
    if plan is None:
        if arguments.out is None:
            raise OptionError("--resume needs --out RUN, the folder of the run to go on with")
        plan = load_plan(arguments.out)
        if plan.model["name"] != arguments.model:
            raise OptionError(f"--resume goes on by the run's own settings: MODEL is {plan.model['name']} there")
        if given := [name for name in _given(arguments) if name not in ("out", "model", "resume", "threads")]:
            raise OptionError(f"--resume goes on by the run's own settings: leave out --{', --'.join(given)}")
    out = Path(arguments.out) if arguments.out else next_free(Path("runs"), arguments.model)
    tell_of_compiling()
    report = run_plan(plan, out, resume=arguments.resume, tell=lambda message: print(message, flush=True))
    print(_summary(report, plan))
    print(
        f"In {out}: report.json, network.safetensors, curves.png, confusion.png, roc.png, reliability.png, mistakes.png"
    )
    return 0


def _given(arguments: argparse.Namespace) -> list[str]:
    return [
        name.replace("_", "-") for name, value in vars(arguments).items()
        if name != "run" and value is not None and value is not False
    ]  # fmt: skip


def _plan(arguments: argparse.Namespace) -> Plan:
    from minicnn.cli.predict import fetched
    from minicnn.transfer.plan import FineTune, Head, make_plan

    if arguments.data is None:
        raise OptionError("transfer needs --data DIR, the photos to learn from")

    def chosen(names: dict[str, str]) -> dict[str, Any]:
        return {ours: getattr(arguments, name) for name, ours in names.items() if getattr(arguments, name) is not None}

    tuned = [name for name in TUNE if name not in HEAD and getattr(arguments, name) is not None]
    if tuned and arguments.fine_tune is None:
        raise OptionError(f"--{tuned[0].replace('_', '-')} is for fine-tuning: --fine-tune STAGE says from where on")
    tune = None if arguments.fine_tune is None else FineTune(arguments.fine_tune, **chosen(TUNE))
    return make_plan(
        arguments.model, arguments.weights or fetched(arguments.model), arguments.data, form=arguments.form,
        width=arguments.width, size=arguments.size, head=Head(**chosen(HEAD)), fine_tune=tune,
        **chosen({name: name for name in PLAN}),
    )  # fmt: skip


def _summary(report: dict[str, Any], plan: Plan) -> str:
    """Write the figures that matter as a table."""
    from minicnn.train.evaluation import class_table

    found, frozen = report["val"], report["frozen"]
    low, high = found["accuracy_interval"]
    lines = [
        "", f"Validation accuracy {100 * found['accuracy']:.1f} % of {found['count']} images (95 %: {100 * low:.1f} .. "
        f"{100 * high:.1f}), loss {found['loss']:.3f}, ECE {100 * found['ece']:.1f} %", "",
        *class_table(found["classes"].items(), "class", 18),
    ]  # fmt: skip
    if "folds" in report:
        folds = report["folds"]
        lines += [
            "",
            f"{plan.folds} folds: {100 * folds['accuracy']:.1f} ± {100 * folds['deviation']:.1f} %",
        ]
    lines += ["", f"{'':14s}accuracy  epochs  until 80 %  seconds"]
    for title, step in (("the head", "head"), ("fine-tuned", "fine_tune"), ("from scratch", "from_scratch")):
        if step in report:
            row = report[step]
            reached = row["epochs_to_80_percent"] or "never"
            seconds = report["seconds"][step] + (report["seconds"]["features"] if step == "head" else 0)
            lines.append(
                f"{title:14s}{100 * row['accuracy']:6.1f} %  {row['epochs']:6d}  {reached:>10}  {seconds:7.1f}"
            )
    same = all(phase["equal"] for phase in frozen.values())
    count = len(next(reversed(frozen.values()))["before"])
    lines += [
        "",
        f"Frozen: {count} stages, {'unchanged to the last bit' if same else 'CHANGED'} (hashes in report.json)",
    ]
    return "\n".join(lines)
