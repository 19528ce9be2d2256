"""The command `minicnn`: train networks, let them look at pictures, bring their weights along, and look into them."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from typing import Any, cast

from minicnn.cli import augment, evaluate, look, predict, train, transfer, weights
from minicnn.errors import MiniCNNError, OptionError

INTERRUPTED = 130  # what a shell expects after Ctrl-C

EXAMPLES = """\
examples:
  minicnn train lenet5                          learn to read digits, in about a minute
  minicnn train lenet5 --form paper             the network of 1998, by its own recipe
  minicnn train lenet5 --data mnist --data-dir DIR
  minicnn predict runs/lenet5-1 seven.png       what digit is this?
  minicnn train resnet20 --epochs 5             a residual network for small images, on the same digits
  minicnn transfer mobilenet --weights mobilenet_2_5_224_tf.h5 --data photos --out runs/photos
  minicnn evaluate runs/photos more_photos      how good is it on others? figures, pictures, its worst mistakes
  minicnn augment cat.jpg --out sheet.png       what training does to a photo
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
    for command in (train, transfer, predict, evaluate, augment, weights, look):
        command.add(commands)
    return parser
