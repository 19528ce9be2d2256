"""`minicnn convert`, `weights` and `audit`: files of weights."""

from __future__ import annotations

import argparse
import os
import sys

from minicnn import models


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
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

    models.known(arguments.model)
    found, notes = pretrained.convert(
        arguments.source, arguments.model, arguments.out, form=arguments.form, strict=not arguments.no_strict
    )
    for line in found.how:
        print(line)
    for note in notes:
        print(f"note: {note}")
    print(f"In {arguments.out}: {os.path.getsize(arguments.out) / 1e6:.1f} MB")
    return 0


def _list_weights(arguments: argparse.Namespace) -> int:
    from minicnn.weights.catalogue import CATALOGUE

    if arguments.model is not None:
        models.known(arguments.model)
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

    models.known(arguments.model)
    report = audit(arguments.model, arguments.weights, form=arguments.form, against=arguments.against)
    print(report)
    return 0 if report.ok else 1
