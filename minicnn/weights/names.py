"""What our layers are called in the files that others published: tables, and how to read them.

A row has our layer and theirs, in the order of the network, and perhaps a word about the layout:

``{b}``, ``{b-1}``, ``{3k-2}``
    A part of our name, copied; or a number that is calculated from it.
``[0 3 6]``, ``[0..]``
    The first layer to which the row fits takes the first, the next the next.
``x.(conv|norm)  y.(conv|bn)``
    Two rows: ``x.conv`` is ``y.conv``, ``x.norm`` is ``y.bn``.
``layer@1``
    The arrays of our layer start at the second of theirs: Keras keeps both halves of a separable convolution together.
``?`` before a row
    A network may be without it: a top that was left out, an auxiliary head.
``a&b``
    Two layers of theirs are one of ours: Caffe's batch norm, whose first two arrays are to be divided by its third, and
    the scale that follows it.
``minus:a``
    Their layer ``a`` before a norm has a bias, ours has none: the norm takes it away again, so it goes into the mean.
``hwc:7``
    The first fully connected layer after 7 x 7 maps whose channels come last, where ours come first.

PyTorch names each array; Keras and Caffe number the arrays of a layer. What ``conv2d#0`` means, ``keras_file`` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

ARRAYS = ("weight", "bias", "running_mean", "running_var")  # of a layer, in the order of Keras and Caffe
IGNORED = "num_batches_tracked"  # PyTorch counts the batches that a norm has seen, for a momentum of None

# ----------------------------------------------------------------------------------------- the tables

LENET5_CAFFE = """
C1         conv1
C3         conv2
F5.linear  ip1
? output   ip2
"""
ALEXNET_TORCH = """
conv{}.conv   features.[0 3 6 8 10]
? fc6.linear  classifier.1
? fc7.linear  classifier.4
? fc8         classifier.6
"""
ALEXNET_CAFFE = """
conv{n}.conv  conv{n}
? fc6.linear  fc6
? fc7.linear  fc7
? fc8         fc8
"""
VGG_TOP = """
? fc1.linear  classifier.0
? fc2.linear  classifier.3
? fc3         classifier.6
"""
VGG_TOP_TIMM = """
? fc1.linear  pre_logits.fc1
? fc2.linear  pre_logits.fc2
? fc3         head.fc
"""
VGG_TORCH = {  # where the convolutions stand among all layers; with batch norm, that of each comes after it
    "vgg11": "0 3 6 8 11 13 16 18",
    "vgg13": "0 2 5 7 10 12 15 17 20 22",
    "vgg16": "0 2 5 7 10 12 14 17 19 21 24 26 28",
    "vgg19": "0 2 5 7 10 12 14 16 19 21 23 25 28 30 32 34",
    "vgg11_bn": "0 4 8 11 15 18 22 25",
    "vgg13_bn": "0 3 7 10 14 17 21 24 28 31",
    "vgg16_bn": "0 3 7 10 14 17 20 24 27 30 34 37 40",
    "vgg19_bn": "0 3 7 10 14 17 20 23 27 30 33 36 40 43 46 49",
}
VGG_KERAS = """
block{b}.conv{n}.conv  block{b}_conv{n}
? fc1.linear           fc1               hwc:7
? fc2.linear           fc2
? fc3                  predictions
"""
VGG_CAFFE = """
block{b}.conv{n}.conv  conv{b}_{n}
? fc1.linear           fc6
? fc2.linear           fc7
? fc3                  fc8
"""
GOOGLENET_TORCH = """
conv1.(conv|norm)                       conv1.(conv|bn)
conv2.reduce.(conv|norm)                conv2.(conv|bn)
conv2.3x3.(conv|norm)                   conv3.(conv|bn)
inception_{s}.1x1.(conv|norm)           inception{s}.branch1.(conv|bn)
inception_{s}.3x3.reduce.(conv|norm)    inception{s}.branch2.0.(conv|bn)
inception_{s}.3x3.3x3.(conv|norm)       inception{s}.branch2.1.(conv|bn)
inception_{s}.5x5.reduce.(conv|norm)    inception{s}.branch3.0.(conv|bn)
inception_{s}.5x5.5x5.(conv|norm)       inception{s}.branch3.1.(conv|bn)
inception_{s}.pool.project.(conv|norm)  inception{s}.branch4.1.(conv|bn)
? aux{n}.conv.(conv|norm)               aux{n}.conv.(conv|bn)
? aux{n}.fc{k}                          aux{n}.fc{k}
? fc                                    fc
"""
GOOGLENET_CAFFE = """
conv1.conv                       conv1/7x7_s2
conv2.reduce.conv                conv2/3x3_reduce
conv2.3x3.conv                   conv2/3x3
inception_{s}.1x1.conv           inception_{s}/1x1
inception_{s}.{n}.reduce.conv    inception_{s}/{n}_reduce
inception_{s}.3x3.3x3.conv       inception_{s}/3x3
inception_{s}.5x5.5x5.conv       inception_{s}/5x5
inception_{s}.pool.project.conv  inception_{s}/pool_proj
? aux{n}.conv.conv               loss{n}/conv
? aux{n}.fc1                     loss{n}/fc
? aux{n}.fc2                     loss{n}/classifier
? fc                             loss3/classifier
"""
INCEPTION_V3_TORCH = """
conv_1a.(conv|norm)                       Conv2d_1a_3x3.(conv|bn)
conv_2{x}.(conv|norm)                     Conv2d_2{x}_3x3.(conv|bn)
conv_3b.(conv|norm)                       Conv2d_3b_1x1.(conv|bn)
conv_4a.(conv|norm)                       Conv2d_4a_3x3.(conv|bn)
mixed_{s}.pool.conv2.(conv|norm)          Mixed_{s}.branch_pool.(conv|bn)
mixed_{s}.{x}.conv{n}.(conv|norm)         Mixed_{s}.branch{x}_{n}.(conv|bn)
mixed_{s}.3x3.fork.row.(conv|norm)        Mixed_{s}.branch3x3_2a.(conv|bn)
mixed_{s}.3x3.fork.column.(conv|norm)     Mixed_{s}.branch3x3_2b.(conv|bn)
mixed_{s}.3x3dbl.fork.row.(conv|norm)     Mixed_{s}.branch3x3dbl_3a.(conv|bn)
mixed_{s}.3x3dbl.fork.column.(conv|norm)  Mixed_{s}.branch3x3dbl_3b.(conv|bn)
mixed_{s}.{x}.(conv|norm)                 Mixed_{s}.branch{x}.(conv|bn)
? aux1.conv{n}.(conv|norm)                AuxLogits.conv{n-1}.(conv|bn)
? aux1.fc                                 AuxLogits.fc
? fc                                      fc
"""
INCEPTION_V3_KERAS = """
{*}.conv  conv2d#[0..]
{*}.norm  batch_normalization#[0..]
? fc      predictions
"""
RESNET_TORCH = """
conv1.(conv|norm)                        (conv1|bn1)
conv{s}_x.block{b}.layers.conv{n}.conv   layer{s-1}.{b-1}.conv{n}
conv{s}_x.block{b}.layers.conv{n}.norm   layer{s-1}.{b-1}.bn{n}
conv{s}_x.block{b}.shortcut.(conv|norm)  layer{s-1}.{b-1}.downsample.(0|1)
? fc                                     fc
"""
RESNET_KERAS = """
conv1.(conv|norm)                              conv1_(conv|bn)
conv{s}_x.block{b}.layers.conv{n}.(conv|norm)  conv{s}_block{b}_{n}_(conv|bn)
conv{s}_x.block{b}.shortcut.(conv|norm)        conv{s}_block{b}_0_(conv|bn)
? fc                                           predictions
"""
RESNET_KERAS_V2 = """
conv1                                          conv1_conv
conv{s}_x.block{b}.first                       conv{s}_block{b}_preact_bn
conv{s}_x.block{b}.layers.conv{n}.(conv|norm)  conv{s}_block{b}_{n}_(conv|bn)
conv{s}_x.block{b}.layers.conv3                conv{s}_block{b}_3_conv
conv{s}_x.block{b}.shortcut                    conv{s}_block{b}_0_conv
norm                                           post_bn
? fc                                           predictions
"""
RESNET_CAFFE = {  # blocks have letters; where there are many, a, b1, b2, ...
    50: "a b c a b c d a b c d e f a b c",
    **{
        depth: " ".join(
            ["a b c a", *(f"b{n}" for n in range(1, third)), "a", *(f"b{n}" for n in range(1, fourth)), "a b c"]
        )
        for depth, third, fourth in ((101, 4, 23), (152, 8, 36))
    },
}
RESNET_AKAMASTER = """
conv1.(conv|norm)                       (conv1|bn1)
stage{s}.block{b}.layers.conv{n}.conv   layer{s}.{b-1}.conv{n}
stage{s}.block{b}.layers.conv{n}.norm   layer{s}.{b-1}.bn{n}
stage{s}.block{b}.shortcut.(conv|norm)  layer{s}.{b-1}.shortcut.(0|1)
? fc                                    linear
"""
XCEPTION_KERAS = """
conv{n}.(conv|norm)                          block1_conv{n}(|_bn)
block{b}.shortcut.(conv|norm)                (conv2d#[0..]|batch_normalization#[0..])
block{b}.layers.separable{k}.depthwise       block{b}_sepconv{k}
block{b}.layers.separable{k}.pointwise.conv  block{b}_sepconv{k}@1
block{b}.layers.separable{k}.pointwise.norm  block{b}_sepconv{k}_bn
? fc                                         predictions
"""
XCEPTION_TIMM = """
conv{n}.(conv|norm)                                 (conv{n}|bn{n})
block{b}.shortcut.(conv|norm)                       block{b-1}.(skip|skipbn)
block2.layers.separable{k}.depthwise                block1.rep.{3k-3}.conv1
block2.layers.separable{k}.pointwise.(conv|norm)    (block1.rep.{3k-3}.pointwise|block1.rep.{3k-2})
block14.layers.separable{k}.depthwise               conv{k+2}.conv1
block14.layers.separable{k}.pointwise.(conv|norm)   (conv{k+2}.pointwise|bn{k+2})
block{b}.layers.separable{k}.depthwise              block{b-1}.rep.{3k-2}.conv1
block{b}.layers.separable{k}.pointwise.(conv|norm)  (block{b-1}.rep.{3k-2}.pointwise|block{b-1}.rep.{3k-1})
? fc                                                fc
"""
MOBILENET_KERAS = """
conv1.(conv|norm)                   conv1(|_bn)
separable{n}.depthwise.(conv|norm)  conv_dw_{n}(|_bn)
separable{n}.pointwise.(conv|norm)  conv_pw_{n}(|_bn)
? fc                                conv_preds
"""
_BLOCKS = "0.0 1.0 1.1 2.0 2.1 3.0 3.1 3.2 3.3 3.4 3.5 4.0 4.1"
MOBILENET_TIMM = f"""
conv1.(conv|norm)              (conv_stem|bn1)
separable{{n}}.depthwise.conv  blocks.[{_BLOCKS}].conv_dw
separable{{n}}.depthwise.norm  blocks.[{_BLOCKS}].bn1
separable{{n}}.pointwise.conv  blocks.[{_BLOCKS}].conv_pw
separable{{n}}.pointwise.norm  blocks.[{_BLOCKS}].bn2
? fc                           classifier
"""


def _vgg(numbers: str, top: str) -> str:
    """A table of torchvision's or timm's VGG."""
    after = " ".join(str(int(number) + 1) for number in numbers.split())
    return f"block{{}}.conv{{}}.conv  features.[{numbers}]\nblock{{}}.conv{{}}.norm  features.[{after}]{top}"


def _resnet_caffe(blocks: str) -> str:
    """A table of the authors' ResNet."""
    lines = ["conv1.conv  conv1", "conv1.norm  bn_conv1&scale_conv1  minus:conv1"]
    for place, branch in (("shortcut", "1"), *((f"layers.conv{n}", f"2{letter}") for n, letter in enumerate("abc", 1))):
        letters = "a" if place == "shortcut" else f"[{blocks}]"
        theirs = f"{{s}}{letters}_branch{branch}"
        lines.append(f"conv{{s}}_x.block{{b}}.{place}.conv  res{theirs}")
        lines.append(f"conv{{s}}_x.block{{b}}.{place}.norm  bn{theirs}&scale{theirs}")
    return "\n".join([*lines, "? fc  fc1000"])


_DEEP, _CIFAR = ("resnet50", "resnet101", "resnet152"), [f"resnet{n}" for n in (20, 32, 44, 56, 110, 1202)]
# (name, form) -> tables; a file's names decide which.
TABLES: dict[tuple[str, str], tuple[str, ...]] = {
    ("lenet5", "caffe"): (LENET5_CAFFE,),
    ("alexnet", "torchvision"): (ALEXNET_TORCH,),
    ("alexnet", "caffe"): (ALEXNET_CAFFE,),
    **{(n, "torchvision"): (_vgg(at, VGG_TOP), _vgg(at, VGG_TOP_TIMM)) for n, at in VGG_TORCH.items()},
    **{(f"vgg{depth}", "keras"): (VGG_KERAS,) for depth in (16, 19)},
    **{(f"vgg{depth}", "caffe"): (VGG_CAFFE,) for depth in (16, 19)},
    ("googlenet", "torchvision"): (GOOGLENET_TORCH,),
    ("googlenet", "caffe"): (GOOGLENET_CAFFE,),
    ("inception_v3", "torchvision"): (INCEPTION_V3_TORCH,),
    ("inception_v3", "keras"): (INCEPTION_V3_KERAS,),
    **{(name, "torchvision"): (RESNET_TORCH,) for name in ("resnet18", "resnet34", *_DEEP)},
    **{(f"resnet{depth}", "caffe"): (_resnet_caffe(blocks),) for depth, blocks in RESNET_CAFFE.items()},
    **{(name, "keras"): (RESNET_KERAS,) for name in _DEEP},
    **{(name, "keras_v2"): (RESNET_KERAS_V2,) for name in _DEEP},
    **{(name, "akamaster"): (RESNET_AKAMASTER,) for name in _CIFAR},
    ("xception", "keras"): (XCEPTION_KERAS,),
    ("xception", "timm"): (XCEPTION_TIMM,),
    ("mobilenet", "keras"): (MOBILENET_KERAS,),
    ("mobilenet", "timm"): (MOBILENET_TIMM,),
}

# ----------------------------------------------------------------------------------------- reading a table

_OURS = re.compile(r"\\\{(\w*|\\\*)\\\}")  # after re.escape
_THEIRS = re.compile(r"\{(?P<factor>\d*)(?P<name>[a-z])(?P<plus>[+-]\d+)?\}|\[(?P<list>[^\]]*)\]")
_CHOICE = re.compile(r"\(([^)]*)\)")


@dataclass(frozen=True)
class Row:
    """A row of a table; see the top of the file.

    Attributes
    ----------
    ours : pattern
    theirs : str
    place : int
        Where in their layer our arrays start.
    layout : str
    optional : bool
    knows : pattern
        What their arrays' names look like, whichever layer it is.
    """

    ours: re.Pattern[str]
    theirs: str
    place: int
    layout: str
    optional: bool
    knows: re.Pattern[str]

    def name(self, ours: re.Match[str], seen: int) -> str:
        """Return their name of a layer of ours, before which ``seen`` others fitted to this row."""

        def fill(found: re.Match[str]) -> str:
            items = (found["list"] or "").split()
            if items:
                return str(seen) if items == ["0.."] else items[seen] if seen < len(items) else "?"
            text = ours[found["name"]]
            if not found["factor"] and not found["plus"]:
                return text
            return str(int(found["factor"] or 1) * int(text) + int(found["plus"] or 0))

        return _THEIRS.sub(fill, self.theirs)


@cache
def rows(table: str) -> tuple[Row, ...]:
    """Read a table.

    Examples
    --------
    >>> first, second = rows("conv{n}.(conv|norm)  layer{n-1}.(0|1)")
    >>> first.name(first.ours.fullmatch("conv3.conv"), 0)
    'layer2.0'
    """
    found = []
    for line in filter(None, table.splitlines()):
        optional, line = line.startswith("? "), line.removeprefix("? ")
        columns = re.split(r"\s{2,}", line.strip())
        for choice in range(1 + columns[0].count("|")):
            ours, theirs, *layout = (_CHOICE.sub(lambda m, k=choice: m[1].split("|")[k], text) for text in columns)
            theirs, _, place = theirs.partition("@")
            names = _names(theirs)
            found.append(Row(_pattern(ours), theirs, int(place or 0), "".join(layout), optional, names))
    return tuple(found)


def _pattern(ours: str) -> re.Pattern[str]:
    def capture(found: re.Match[str]) -> str:
        name = found[1]
        return r"\d+" if not name else f"(?P<{name}>[^.]+?)" if name.isalpha() else ".+"

    return re.compile(_OURS.sub(capture, re.escape(ours)))


def _names(theirs: str) -> re.Pattern[str]:
    """What all names look like that a row gives; between a layer's and an array's stands a dot or a slash."""
    wholes = []
    for layer in theirs.split("&"):
        text, end = "", 0
        for found in _THEIRS.finditer(layer):
            items = (found["list"] or "").split()
            some = r"\d+" if items == ["0.."] else "|".join(map(re.escape, items)) if items else r"[^/._]+"
            text += re.escape(layer[end : found.start()]) + f"(?:{some})"
            end = found.end()
        wholes.append(text + re.escape(layer[end:]))
    return re.compile(f"(?:{'|'.join(wholes)})" + r"[./]\w+")


@dataclass(frozen=True)
class Place:
    """Where an array of ours is in their file.

    Attributes
    ----------
    name : str
    layout : str
        See ``layouts``.
    divisor, subtrahend : str
        Names of arrays that it is to be divided by, and that are to be taken away from it, where the file has them.
    """

    name: str
    layout: str = ""
    divisor: str = ""
    subtrahend: str = ""


def places(table: str, ours: Iterable[str], *, numbered: bool) -> dict[str, Place]:
    """Say where each of our arrays is in their file.

    Parameters
    ----------
    table : str
    ours : names of arrays
        In the order of the network, as of ``state_dict``.
    numbered : bool
        Whether the arrays of a layer are numbered there, as Keras' and Caffe's are, or have PyTorch's names.

    Examples
    --------
    >>> ours = ["conv1.conv.weight", "conv1.norm.weight", "conv1.norm.bias"]
    >>> [place.name for place in places(MOBILENET_KERAS, ours, numbered=True).values()]
    ['conv1/0', 'conv1_bn/0', 'conv1_bn/1']
    """
    layers: dict[str, list[str]] = {}
    for name in ours:
        layer, _, array = name.rpartition(".")
        layers.setdefault(layer, []).append(array)
    seen: dict[Row, int] = {}
    found = {}
    for layer, arrays in layers.items():
        for row in rows(table):
            match = row.ours.fullmatch(layer)
            if match:
                theirs = row.name(match, seen.get(row, 0))
                seen[row] = seen.get(row, 0) + 1
                for place, array in enumerate(sorted(arrays, key=ARRAYS.index), row.place):
                    found[f"{layer}.{array}"] = (
                        _split(theirs, array, row.layout)
                        if "&" in theirs
                        else Place(f"{theirs}/{place}" if numbered else f"{theirs}.{array}", row.layout)
                    )
                break
    return found


def _split(theirs: str, array: str, layout: str) -> Place:
    """Say where an array of a batch norm is that Caffe splits in two: its statistics, and the scale after it."""
    norm, scale = theirs.split("&")
    if array in ("weight", "bias"):
        return Place(f"{scale}/{ARRAYS.index(array)}")
    bias = f"{layout.removeprefix('minus:')}/1" if layout and array == "running_mean" else ""
    return Place(f"{norm}/{ARRAYS.index(array) - 2}", divisor=f"{norm}/2", subtrahend=bias)


def left_out(table: str, theirs: str, ours: Iterable[str]) -> bool:
    """Tell whether a name of theirs belongs to a part that our network is without: its top, an auxiliary head."""
    layers = {name.rpartition(".")[0] for name in ours}
    return any(
        row.optional and row.knows.fullmatch(theirs) and not any(row.ours.fullmatch(layer) for layer in layers)
        for row in rows(table)
    )


def whose(names: Iterable[str]) -> list[tuple[str, str]]:
    """Guess from the names in a file of which networks and forms they are, those with most of the names first."""
    names = [name for name in names if not name.endswith(IGNORED)]
    fits: dict[tuple[str, str], tuple[int, float]] = {}
    for key, tables in TABLES.items():
        for table in tables:
            known = [{name for name in names if row.knows.fullmatch(name)} for row in rows(table)]
            named = len(set().union(*known))
            if named > len(names) / 2:  # of tables that know equally many, the one of which most is there
                used = sum(map(_share, rows(table), known)) / len(known)
                fits[key] = max(fits.get(key, (0, 0.0)), (named, used))
    best = max(fits.values(), default=None)
    return [key for key, fit in fits.items() if fit == best]


def _share(row: Row, known: set[str]) -> float:
    """Return how much of a row is there: of its list, or all of it or nothing."""
    listed = re.search(r"\[([^\]]*)\]", row.theirs)
    items = len(listed[1].split()) if listed else 1
    return min(1.0, len({re.split(r"[./](?=\w+$)", name)[0] for name in known}) / items)
