"""What the classes are called: of ILSVRC-2012, whose 1000 names stand beside this file, and of CIFAR-10."""

from __future__ import annotations

from functools import cache
from importlib import resources

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGITS = tuple("0123456789")


@cache
def class_names(which: str, count: int) -> tuple[str, ...]:
    """Return the names of a data set's classes; none if the data set is not known or has another number of classes.

    Parameters
    ----------
    which : {"imagenet", "cifar10", "digits"}
    count : int
        How many classes there are.

    Examples
    --------
    >>> class_names("imagenet", 1000)[:2], class_names("imagenet", 2)
    (('tench', 'goldfish'), ())
    """
    if which == "imagenet":
        text = resources.files("minicnn.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
        known = tuple(text.splitlines())
    else:
        known = {"cifar10": CIFAR10, "digits": DIGITS}.get(which, ())
    return known if len(known) == count else ()
