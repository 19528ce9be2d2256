"""`minicnn augment`: look at what training does to a picture."""

from __future__ import annotations

import argparse

from minicnn.cli.arguments import natural


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    augment = commands.add_parser(
        "augment",
        help="draw a sheet of what each augmentation makes of a picture",
        description="Draw every augmentation that there is, two draws of each, into one picture.",
    )
    augment.add_argument("image", metavar="IMAGE", help="a PNG, JPEG, BMP, GIF, WEBP, TIFF or PPM file")
    augment.add_argument("--out", required=True, metavar="SHEET", help="file to write: .png, .jpg, .svg or .pdf")
    augment.add_argument("--seed", type=natural, default=0, metavar="N", help="of all random numbers (default: 0)")
    augment.set_defaults(run=_augment)


def _augment(arguments: argparse.Namespace) -> int:
    from minicnn.inspect.augmentations import draw_augmentations

    count = draw_augmentations(arguments.image, arguments.out, seed=arguments.seed)
    print(f"In {arguments.out}: {count} augmentations")
    return 0
