"""The command `minicnn`: train networks, let them look at pictures, bring their weights along, and look into them."""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from minicnn import models
from minicnn.errors import MiniCNNError, OptionError, nearest
from minicnn.kernels import jit, simd

if TYPE_CHECKING:
    from minicnn.train.job import Plan

INTERRUPTED = 130  # what a shell expects after Ctrl-C

EXAMPLES = """\
examples:
  minicnn train lenet5                          learn to read digits, in about a minute
  minicnn train lenet5 --form paper             the network of 1998, by its own recipe
  minicnn train lenet5 --data mnist --data-dir DIR
  minicnn predict runs/lenet5-1 seven.png       what digit is this?
  minicnn train resnet20 --epochs 5             a residual network for small images, on the same digits
  minicnn models                                all networks and their forms
  minicnn summary resnet50                      its stages, their sizes and costs
  minicnn diff googlenet paper torchvision      how two forms of a network differ, and where that is written
  minicnn weights list                          published weights: accuracies, licences, addresses
  minicnn convert their.pth --model resnet50 -o resnet50.safetensors
  minicnn predict resnet50.safetensors cat.jpg  what is in this photo?
  minicnn audit resnet50 their.pth              is the file what it should be?
  minicnn info                                  versions, CPU, threads, where compiled kernels are kept
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, 1 (it failed), 2 (wrong arguments), 130 (Ctrl-C)."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # the name of a file goes out as it came in, if it is no text
    try:
        with warnings.catch_warnings():
            warnings.showwarning = cast(Any, _show_warning)
            status: int = arguments.run(arguments)
        print(end="", flush=True)  # if nobody reads any more, it shows here and not at Python's very end
    except OptionError as error:
        print(f"minicnn: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # minicnn ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MiniCNNError, OSError) as error:
        print(f"minicnn: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("minicnn: out of memory; a smaller --batch-size needs less", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stopped:
        print(f"\nminicnn: stopped{f' by {stopped}' if str(stopped) else ''}", file=sys.stderr)
        return INTERRUPTED
    return status


def _show_warning(message: Warning | str, *where: Any) -> None:
    """One line for the user, without the place in our source."""
    print(f"minicnn: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minicnn",
        description="The classic convolutional networks on CPU kernels that you can read.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"minicnn {metadata.version('minicnn')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(commands)
    _add_predict(commands)
    _add_models(commands)
    _add_weights(commands)
    info = commands.add_parser("info", help="print versions, CPU features, threads and the cache folder")
    info.set_defaults(run=_info)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return number


_count.__name__ = _natural.__name__ = "integer"  # argparse: "invalid integer value"


# ------------------------------------------------------------------------------------------- train


def _add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    train.add_argument("--size", type=_count, metavar="N", help="pixels along a side, for networks that take any size")
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
    train.add_argument("--epochs", type=_count, metavar="N", help="how often to go through the training images")
    train.add_argument("--batch-size", type=_count, metavar="N", help="images to learn from at a time")
    train.add_argument("--lr", type=float, metavar="RATE", help="learning rate: the size of a step")
    train.add_argument("--optimizer", metavar="NAME", help="SGD, Adam, AdamW, RMSprop, ...: the rule of a step")
    train.add_argument("--seed", type=_natural, metavar="N", help="of all random numbers (default: 0)")
    train.add_argument("--threads", type=_count, metavar="N", help="CPU threads (default: all); changes no result")
    train.add_argument("--out", metavar="RUN", help="folder of the run (default: the next free runs/MODEL-N)")
    train.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, by its own settings; --epochs may be more"
    )
    train.set_defaults(run=_train)


def _train(arguments: argparse.Namespace) -> int:
    from minicnn.train import job  # brings pictures and data sets along: not for --help
    from minicnn.train.metrics import per_class_table

    if arguments.threads is not None:
        jit.set_num_threads(arguments.threads)
    if arguments.resume:
        plan, out = _resumed(arguments)
    else:
        plan = job.make_plan(
            arguments.model, form=arguments.form, dataset=arguments.data or "digits", data_dir=arguments.data_dir,
            epochs=arguments.epochs, batch_size=arguments.batch_size, lr=arguments.lr, optimizer=arguments.optimizer,
            seed=arguments.seed or 0, size=arguments.size, width=arguments.width,
            aux=False if arguments.no_aux else None,
        )  # fmt: skip
        out = Path(arguments.out) if arguments.out else _next_free(Path("runs"), arguments.model)
    _, result, test = job.run_plan(plan, out, resume=arguments.resume, started=_tell)
    print(f"\nTest accuracy: {100 * result['accuracy']:.2f} % of {len(test)} images that it never learnt from\n")
    print(per_class_table(result["labels"], result["predicted"]))
    print(f"In {out}: checkpoint.safetensors, config.json, history.csv, curves.png, confusion.png")
    return 0


def _tell(message: str) -> None:
    print(message, flush=True)
    folder = jit.cache_folder()
    if folder is None or not any(folder.rglob("*.nbi")):
        print("The kernels are compiled for this CPU first, which takes some seconds, this once.", file=sys.stderr)


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


def _next_free(parent: Path, name: str) -> Path:
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"


# ------------------------------------------------------------------------------------------- predict


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = commands.add_parser(
        "predict",
        help="say what a picture shows",
        description="Let a trained network look at pictures. Prints a line for each: the file, the likeliest classes, "
        "how sure the network is. A RUN reads single digits, dark on light or light on dark; a MODEL with published "
        "weights knows the thousand classes of ImageNet.",
    )
    predict.add_argument(
        "network",
        metavar="RUN|MODEL|FILE",
        help="a folder that `minicnn train` has written, a network with --weights (or from the catalogue), or a file "
        "that `minicnn convert` has written",
    )
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM files")
    predict.add_argument("--weights", metavar="FILE", help="file of weights for MODEL, whoever wrote it")
    predict.add_argument("--form", help="which form of MODEL, if the file does not tell")
    predict.add_argument(
        "--top", type=_count, metavar="K", help="print the K likeliest classes (default: 1 of digits, 5 of photos)"
    )
    predict.add_argument(
        "--as-stored", action="store_true", help="do not turn photos as their camera says (EXIF orientation)"
    )
    predict.set_defaults(run=_predict)


def _predict(arguments: argparse.Namespace) -> int:
    names, read, top = _reader(arguments)
    failed = False
    for image in arguments.images:
        try:
            probabilities = read(image)
        except MiniCNNError as error:
            print(f"minicnn: {error}", file=sys.stderr)
            failed = True
            continue
        best = probabilities.argsort()[::-1][: arguments.top or top]
        shown = [f"{names[c] if names else c}  {100 * probabilities[c]:.1f} %" for c in best]
        print(f"{image}  " + "  ".join(shown), flush=True)
    return int(failed)


def _reader(arguments: argparse.Namespace) -> tuple[Sequence[str], Callable[[str], Any], int]:
    """Return the names of the classes, how to get their probabilities for a file, and how many one wants to see."""
    if os.path.isdir(arguments.network):
        from minicnn.train.job import Reader

        return (), Reader(arguments.network).read, 1
    from minicnn.autograd import no_grad
    from minicnn.data.pictures import read_photo

    model: Any
    if arguments.network in models.ARCHITECTURES:
        weights = arguments.weights or _fetched(arguments.network)
        model = models.create(arguments.network, form=arguments.form, weights=weights)
    elif os.path.isfile(arguments.network):
        model = models.load(arguments.network)
    else:
        near = nearest(arguments.network, models.ARCHITECTURES)
        raise OptionError(f"{arguments.network!r} is no folder of a run, no file of weights and no network{near}")
    if not getattr(model, "include_top", True):
        raise OptionError(f"{arguments.weights or arguments.network} has no last layer, so that it names no classes")
    model.eval()

    def read(path: str) -> Any:
        with no_grad():
            photo = model.form.preprocess([read_photo(path, upright=not arguments.as_stored)])
            return model.form.probabilities(model(photo))[0]

    return model.classes, read, 5


def _fetched(name: str) -> Path:
    from minicnn.weights.catalogue import published
    from minicnn.weights.download import fetch, folder

    entry = published(name)
    if not (folder() / entry.file).exists():
        print(f"Weights {entry.name} ({entry.licence}) from {entry.address}", file=sys.stderr)
    return fetch(entry)


# ------------------------------------------------------------------------------------------- convert, weights, audit


def _add_weights(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    convert = commands.add_parser(
        "convert",
        help="turn a file of weights of PyTorch, Keras, Caffe, ... into one of ours",
        description="Read a file of weights without the framework that wrote it and without executing anything in it; "
        "write it as safetensors, with the network's name and form, its preprocessing and its classes.",
    )
    convert.add_argument("source", metavar="SRC", help=".pth .th .ckpt .safetensors .h5 .keras .caffemodel .npz .onnx")
    convert.add_argument("--model", required=True, help="the network that it is of")
    convert.add_argument("--form", help="which form of it, if the file does not tell")
    convert.add_argument(
        "-o", "--out", required=True, metavar="FILE", help="file to write, such as resnet50.safetensors"
    )
    convert.add_argument("--no-strict", action="store_true", help="write what fits, and say what does not")
    convert.set_defaults(run=_convert)

    published = commands.add_parser("weights", help="list the published files of weights, or download one")
    actions = published.add_subparsers(title="actions", metavar="ACTION", required=True)
    shown = actions.add_parser("list", help="names, accuracies, digests, licences and addresses")
    shown.add_argument("model", metavar="MODEL", nargs="?", help="only those of this network")
    shown.set_defaults(run=_list_weights)
    got = actions.add_parser("fetch", help="download a file, or go on with one that was cut; prints where it is")
    got.add_argument("name", metavar="NAME", help="of `minicnn weights list`, or a network's")
    got.set_defaults(run=_fetch)

    audit = commands.add_parser(
        "audit",
        help="check a file of weights, and find out why a network answers otherwise than it should",
        description="Check names, shapes, values and statistics. With reference activations, name the first stage that "
        "departs from them, and try the known causes: padding, the mean at borders, eps, the order of a flattened map, "
        "of colours, the place of a stride.",
    )
    audit.add_argument("model", metavar="MODEL")
    audit.add_argument("weights", metavar="WEIGHTS", help="file of weights, whoever wrote it")
    audit.add_argument("--form", help="which form of MODEL, if the file does not tell")
    audit.add_argument(
        "--against", metavar="NPZ", help="`images`, as the network takes them, and outputs of stages by their names"
    )
    audit.set_defaults(run=_audit)


def _convert(arguments: argparse.Namespace) -> int:
    from minicnn.models import pretrained

    _known_model(arguments.model)
    found, notes = pretrained.convert(
        arguments.source, arguments.model, arguments.out, form=arguments.form, strict=not arguments.no_strict
    )
    for line in found.how:
        print(line)
    for note in notes:
        print(f"note: {note}")
    print(f"In {arguments.out}: {os.path.getsize(arguments.out) / 1e6:.1f} MB")
    return 0


def _known_model(name: str) -> None:
    if name not in models.ARCHITECTURES:
        raise OptionError(f"{name!r} is no network{nearest(name, models.ARCHITECTURES)} (`minicnn models` lists all)")


def _list_weights(arguments: argparse.Namespace) -> int:
    from minicnn.weights.catalogue import CATALOGUE

    if arguments.model is not None:
        _known_model(arguments.model)
    rows = [entry for entry in CATALOGUE.values() if arguments.model in (None, entry.model)]
    if not rows:
        print(f"No weights of {arguments.model} are published.", file=sys.stderr)
        return 1
    print(f"{'name':28s}{'top-1':>6s}{'top-5':>7s}  {'digest':16s}{'licence':28s}address")
    for entry in rows:
        first, fifth = (f"{value:.1f}" if value else "-" for value in (entry.top1, entry.top5))
        print(
            f"{entry.name:28s}{first:>6s}{fifth:>7s}  {entry.digest[:15] or '-':16s}{entry.licence:28s}{entry.address}"
        )
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from minicnn.weights.download import fetch

    print(fetch(arguments.name))
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from minicnn.inspect import audit

    _known_model(arguments.model)
    report = audit(arguments.model, arguments.weights, form=arguments.form, against=arguments.against)
    print(report)
    return 0 if report.ok else 1


# ------------------------------------------------------------------------------------------- models, summary, diff


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    known = commands.add_parser("models", help="list the networks and their forms; the first is the default")
    known.set_defaults(run=_models)
    summary = commands.add_parser("summary", help="print the stages of a network, their sizes and their costs")
    summary.add_argument("model", metavar="MODEL")
    summary.add_argument("--form", help="which form of it")
    summary.add_argument(
        "--depth", type=_count, default=1, metavar="N", help="1: the stages (default), 2: their parts, ..."
    )
    summary.set_defaults(run=_summary)
    diff = commands.add_parser("diff", help="print how two forms of a network differ, with sources")
    diff.add_argument("model", metavar="MODEL")
    diff.add_argument("forms", metavar="FORM", nargs=2)
    diff.set_defaults(run=_diff)


def _models(arguments: argparse.Namespace) -> int:
    for name in models.list():
        entry = models.ARCHITECTURES[name]
        for form in sorted(entry.forms, key=lambda form: form != entry.default):
            print(f"{name:13s}{form:13s}{entry.forms[form].summary}")
    return 0


def _summary(arguments: argparse.Namespace) -> int:
    from minicnn import inspect, nn

    with nn.init.using(nn.init.zeros):
        print(inspect.summary(models.create(arguments.model, form=arguments.form), depth=arguments.depth))
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from minicnn import inspect

    print(inspect.diff(arguments.model, *arguments.forms))
    return 0


# ------------------------------------------------------------------------------------------- info


def _info(arguments: argparse.Namespace) -> int:
    from llvmlite import binding

    packages = ("numpy", "numba", "llvmlite", "scipy")
    extras = ("pillow", "scikit-learn", "tqdm", "matplotlib", "safetensors", "h5py", "pooch")
    features = binding.get_host_cpu_features()
    known = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon")
    folder = jit.cache_folder()
    kept = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6 if folder else 0.0
    rows = {
        "minicnn": metadata.version("minicnn"),
        "Python": f"{platform.python_version()} on {platform.platform()}",
        **{name: _version(name) for name in packages},
        "extras": ", ".join(f"{name} {_version(name)}" for name in extras),
        "CPU": f"{binding.get_host_cpu_name()}, {' '.join(name for name in known if features.get(name))}",
        "vectors": f"{simd.VECTOR_BYTES} bytes: {simd.VECTOR_BYTES // 4} float32 at a time",
        "threads": f"{jit.get_num_threads()} of {os.cpu_count()}",
        "kernel cache": f"{folder} ({kept:.1f} MB)" if folder else "none: no folder is writable",
    }
    for name, value in rows.items():
        print(f"{name:13s}{value}")
    return 0


def _version(package: str) -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return "missing (pip install 'minicnn[all]')"


if __name__ == "__main__":
    sys.exit(main())
