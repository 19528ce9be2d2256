"""LeNet-5, which read the digits on cheques.

Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11), pages 2278-2324, November 1998. The network: section II.B; its losses: II.C; the
squashing function and the first weights: appendix A; the second-order learning: appendix C; results: section III.

The paper claims 60,000 trainable parameters and 340,908 connections, and on MNIST a test error of 0.95 % (0.8 % when
distorted digits are added to the training set) and a training error of 0.35 % after 19 passes.

Three forms stand side by side, rows of ``FORMS``:

``"paper"``
    The network of 1998: the connection table of C3, trainable subsampling, scaled tanh up to F6, and ten distances to
    fixed codes, of which the smallest is the answer.
``"modern"``, the default
    What the name LeNet-5 usually means today, 61,706 parameters: C3 sees every map, S2 and S4 take the maximum,
    ReLU, ten logits with cross entropy. It is the default since it takes any number of classes and plain SGD or Adam
    trains it in a few epochs. Maximum and ReLU did best of four on scikit-learn's digits, by little (the same nets in
    PyTorch, Adam at 0.001, batch 64, 30 epochs, mean accuracy of three seeds): 98.1 %; mean and ReLU 97.9, maximum
    and tanh 97.5, mean and tanh 97.2. On MNIST, one seed and 5 epochs, all lay between 98.5 and 99.0 %.
``"caffe"``
    Caffe's example of the same name, a wider network for images of 28x28: 431,080 parameters.

**Differs from the paper**

* Codes. The paper shows them in figure 3 and nowhere as numbers. The ten digits in ``GLYPHS`` come from a
  transcription of that figure which the public implementations share. Its bars over 0, 2, 4 and 5 may tell these
  apart from the letters O, Z, y and S, or may be an error in copying; we could not compare them with the figure.
  No code is nearer to another than 12 of 84 pixels (6 and 8), with the bars or without.
* Equation 9 has a constant j > 0 whose value is not printed. Here it is ``J``, see there.
* First weights. Appendix A prints ±2.4 / F_i, and so they start by default; the biases, of which it does not speak,
  by the same rule. The recipe's first rate then drives the network into saturation, where it stayed: 10 % of MNIST
  after 14,000 digits with either loss, and with equation 8 also when the curvature was estimated again every 1,000.
  At a tenth of the rate it knew 88 % of digits 8,001 to 10,000, each asked before it was learnt. The appendix wants
  sums "within the normal operating region of the sigmoid", for which one divides by sqrt(F_i): so say the same authors
  in the same year ("Efficient BackProp", eq. 16), and from there the printed rates work. Hence the recipe starts with
  ``first_weights="efficient_backprop"``.
* mu. The paper prints 0.02, the recipe has 0.5. With 0.02 the first pass through MNIST ends at 2.2 % test error and the
  second at 27.5 %: C5 saturates, so its curvature falls to nearly 0 and its rates rise to 0.025, too much for the
  digits on which it is not saturated. A larger mu is the same as a loss in a larger unit, c = 1/25 of it in
  ``p -= lr * c g / (0.02 + c h)``, and the paper may have had one. With 1 it learns the training set more slowly: after
  ten passes 0.74 % of it are wrong, with 0.5 0.60 %. ``benchmarks/lenet5_1998.py`` draws the curve.
* "modern" keeps the paper's scale of the input; its first weights are those of ``nn.init.he_2015``.
* "caffe" (examples/mnist/lenet_train_test.prototxt) has 20, 50 and 500 maps, no F6, and a ReLU in one place only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

import minicnn.functional as F
from minicnn import nn, random
from minicnn.autograd import Array, Tensor
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DTypeError, OptionError, ShapeError, nearest
from minicnn.functional import check
from minicnn.functional.check import Input
from minicnn.models.architecture import Architecture, Form, pooling_stage, softmax

# --------------------------------------------------------------------------------- the paper's tables

SIZE = 32  # of the input, in pixels: digits are at most 20x20 in a field of 28x28, so that strokes meet no border


class Row(NamedTuple):
    """One layer of section II.B: ``maps`` feature maps of ``size`` x ``size`` units, each with a window."""

    stage: str
    kind: str
    maps: int
    size: int
    window: int


TABLE = (
    # stage  kind           maps  size  window
    Row("C1", "convolution", 6, 28, 5),
    Row("S2", "subsampling", 6, 14, 2),
    Row("C3", "convolution", 16, 10, 5),
    Row("S4", "subsampling", 16, 5, 2),
    Row("C5", "convolution", 120, 1, 5),
    Row("F6", "full", 84, 1, 1),
    Row("output", "output", 10, 1, 1),
)

# Caffe's: no border around the digit, and 500 units see all that S4 left.
CAFFE_TABLE = (
    Row("C1", "convolution", 20, 24, 5),
    Row("S2", "subsampling", 20, 12, 2),
    Row("C3", "convolution", 50, 8, 5),
    Row("S4", "subsampling", 50, 4, 2),
    Row("F5", "full", 500, 1, 4),
    Row("output", "output", 10, 1, 1),
)

# Table I: a row for each map of S2, a column for each map of C3, which reads the S2 maps marked X.
C3_READS_S2 = np.array(
    [
        [mark == "X" for mark in row]
        for row in (
            # 0123456789012345
            "X...XXX..XXXX.XX",
            "XX...XXX..XXXX.X",
            "XXX...XXX..X.XXX",
            ".XXX..XXXX..X.XX",
            "..XXX..XXXX.XX.X",
            "...XXX..XXXX.XXX",
        )
    ]
).T  # (C_out, C_in), as conv2d takes it

# Figure 3, the ten digits: 7 wide, 12 high. (F6 has 84 units because a code has 84 pixels.)
GLYPHS = """
    .#####.  ...##..  .#####.  #######  .#####.  .#####.  ..####.  #######  .#####.  .#####.
    .......  ..###..  .......  .....##  .......  .......  .##....  .....##  ##...##  ##..###
    ..###..  .####..  .#####.  ....##.  .......  #######  ##.....  .....##  ##...##  ##...##
    .##.##.  ...##..  ##...##  ...##..  .##..##  ##.....  ##.....  ....##.  ##...##  ##...##
    ##...##  ...##..  #....##  ..####.  .##..##  ##.....  ######.  ...##..  .#####.  ##..###
    ##...##  ...##..  ....##.  .....##  ###..##  .####..  ###..##  ...##..  ##...##  .######
    ##...##  ...##..  ..###..  .....##  ##...##  ..####.  ##...##  ..##...  ##...##  .....##
    ##...##  ...##..  .##....  .....##  ##...##  .....##  ##...##  ..##...  ##...##  .....##
    .##.##.  ...##..  ##.....  ##...##  ##..###  ##...##  ###..##  ..##...  ##...##  ....##.
    ..###..  .######  #######  .#####.  .######  .#####.  .#####.  ..##...  .#####.  .####..
    .......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
    .......  .......  .......  .......  .....##  .......  .......  .......  .......  .......
"""
_LINES = [line.split() for line in GLYPHS.split("\n") if line.strip()]
# (10, 84), +1 for ink and -1 for background, row by row: F6's squashing function is at ±1 where it bends most.
CODES = np.array(
    [[1.0 if pixel == "#" else -1.0 for line in _LINES for pixel in line[digit]] for digit in range(10)], np.float32
)

# --------------------------------------------------------------------------------- what stands around the network


def preprocess(images: Array) -> Array:
    """Centre digits in 32x32 and scale them so that background is -0.1 and full ink 1.175 (section II.B).

    Parameters
    ----------
    images : uint8 array, shape (N, 28, 28) or (N, 32, 32), or (N, C, ...)
        0 is background, 255 is ink, as in MNIST.

    Returns
    -------
    float32 array, shape (N, C, 32, 32)
        The paper says that this makes the mean about 0 and the variance about 1, which speeds up learning; of MNIST in
        its field of 32x32 they are 0.03 and 0.12.

    Examples
    --------
    >>> x = preprocess(np.full((1, 28, 28), 255, np.uint8))
    >>> x.shape, x[0, 0, 0, 0], x[0, 0, 16, 16]
    ((1, 1, 32, 32), np.float32(-0.1), np.float32(1.175))
    """
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8:
        raise DTypeError(f"lenet5.preprocess: images must be uint8 in 0 .. 255, got {pixels.dtype}")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim != 4 or pixels.shape[2:] not in ((28, 28), (SIZE, SIZE)):
        raise ShapeError(
            "lenet5.preprocess: images must have shape (N, 28, 28) or (N, 32, 32), with channels (N, C, ...), "
            f"got {np.shape(images)}"
        )
    border = (SIZE - pixels.shape[2]) // 2
    centred = np.pad(pixels, ((0, 0), (0, 0), (border, border), (border, border)))
    return centred.astype(np.float32) * np.float32(1.275 / 255) - np.float32(0.1)


# The cost of eq. 9's "rubbish class": competitors at a distance well beyond j are not pushed further away. A choice:
# with J = 20 or 200 the curvature of a right answer is so near to 0, and the recipe's rates so high, that it unlearns.
J = 1.0


def mse(outputs: Input, targets: Any) -> Tensor:
    """Equation 8: the distance to the right code, averaged. It knows no competition between the classes."""
    y = _distances("lenet5.mse", outputs)
    right = check.labels("lenet5.mse", targets, (len(y),), "(N,)", y.shape[1])
    return F.getitem(y, (np.arange(len(y)), right)).mean()


def map_criterion(outputs: Input, targets: Any) -> Tensor:
    """Equation 9: y_target + log(exp(-j) + sum_i exp(-y_i)), averaged (maximum a posteriori).

    That is cross entropy where the logits are the negative distances and, for the rubbish class, -j.
    """
    y = _distances("lenet5.map", outputs)
    right = check.labels("lenet5.map", targets, (len(y),), "(N,)", y.shape[1])
    rubbish = np.full((len(y), 1), -J, y.dtype)
    return F.cross_entropy(F.concat([-y, rubbish], 1), right)


def _distances(op: str, outputs: Input) -> Tensor:
    y = check.tensor(op, "outputs", outputs)
    if y.ndim != 2:
        raise ShapeError(f"{op}: outputs must have 2 axes (N, classes), got shape {y.shape}")
    return y


def recipe_1998() -> dict[str, Any]:
    """Return section III's training, in the names of ``minicnn.train``: 20 passes, one digit at a time.

    ``model`` holds options of the network that belong to it: equation 8, and first weights that bear its rates.

    The global rate is 0.0005 for two passes, 0.0002 for three, 0.0001 for three, 0.00005 for four, then 0.00001. Why
    mu and the first weights are not as printed is told at the top of this file.
    """
    return {
        "model": {"criterion": "mse", "first_weights": "efficient_backprop"},
        "epochs": 20,
        "batch_size": 1,
        "optimizer": {"name": "StochasticDiagonalLevenbergMarquardt", "lr": 0.0005, "mu": 0.5, "samples": 500},
        "schedule": {"name": "Table", "rows": [[2, 1.0], [3, 0.4], [3, 0.2], [4, 0.1], [8, 0.02]]},
    }


def recipe_modern() -> dict[str, Any]:
    """Return how we train the modern form, in the names of ``minicnn.train``."""
    return {
        "epochs": 12,
        "batch_size": 64,
        "optimizer": {"name": "Adam", "lr": 0.002},
        "schedule": {"name": "Cosine", "epochs": 12},
    }


def recipe_caffe() -> dict[str, Any]:
    """Return examples/mnist/lenet_solver.prototxt: 10,000 steps, after n of them 0.01 (1 + n / 10,000)^-0.75."""
    steps = 60_000 / 64  # of an epoch
    return {
        "epochs": 11,
        "batch_size": 64,
        "optimizer": {"name": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005},
        "schedule": {"name": "Table", "rows": [[1, (1 + epoch * steps / 10_000) ** -0.75] for epoch in range(11)]},
    }


# --------------------------------------------------------------------------------- the forms, as data


@dataclass(frozen=True, kw_only=True, repr=False)
class LeNetForm(Form):
    """A form of LeNet-5; beside what every form has, what its layers are.

    Attributes
    ----------
    table : rows of layers
    connections : mapping of stage to bool array (C_out, C_in)
        Stages that do not see every map before them.
    subsample, squash, output : functions that make these layers
        From (number of maps), (), and (number of units before, number of classes).
    squashed : kinds of layer that end with ``squash``.
    first_weights : mapping of name to rule, in the manner of ``nn.init`` (None: the layers' own); default first.
    criteria : mapping of name to loss; the first is the default.
    fixed : options that have one legal value in this form.
    """

    table: tuple[Row, ...] = TABLE
    connections: Mapping[str, Array]
    subsample: Callable[[int], nn.Module]
    squash: Callable[[], nn.Module]
    squashed: tuple[str, ...]
    output: Callable[[int, int], nn.Module]
    first_weights: Mapping[str, Callable[..., Array] | None]
    criteria: Mapping[str, Callable[[Input, Any], Tensor]]
    fixed: Mapping[str, int]


PAPER = LeNetForm(
    name="paper",
    summary="as published in 1998: 60,000 parameters, 340,908 connections",
    connections={"C3": C3_READS_S2},
    subsample=nn.Subsample2d,
    squash=nn.ScaledTanh,
    squashed=("convolution", "subsampling", "full"),
    output=lambda units, classes: nn.RBF(CODES),
    first_weights={"appendix_a": nn.init.lecun_1998, "efficient_backprop": nn.init.efficient_backprop_1998},
    criteria={"map": map_criterion, "mse": mse},
    fixed={"in_channels": 1, "num_classes": 10},  # that is what its codes and its counts are
    preprocess=preprocess,
    loss=map_criterion,
    predict=lambda y: np.argmin(np.asarray(y), axis=1),
    probabilities=lambda y: softmax(-check.tensor("lenet5.probabilities", "outputs", y)),
    recipe=recipe_1998,
)

MODERN = LeNetForm(
    name="modern",
    summary="as used today: max pooling, ReLU, cross entropy; 61,706 parameters",
    connections={},
    subsample=lambda maps: nn.MaxPool2d(2),
    squash=nn.ReLU,
    squashed=("convolution", "full"),  # the maximum of what ReLU left needs no second ReLU
    output=nn.Linear,
    first_weights={"he_2015": None},
    criteria={"cross_entropy": F.cross_entropy},
    fixed={},
    preprocess=preprocess,
    loss=F.cross_entropy,
    recipe=recipe_modern,
)

CAFFE = replace(
    MODERN,
    name="caffe",
    summary="as in Caffe's example: 431,080 parameters",
    table=CAFFE_TABLE,
    squashed=("full",),
    preprocess=Preprocessing(size=28, scale=255 / 256, channels=1),
    recipe=recipe_caffe,
    differs=(
        ("20, 50 and 500 maps; images of 28 x 28; no F6", "Caffe, examples/mnist/lenet_train_test.prototxt"),
        ("a ReLU after F5 alone; maximum pooling; softmax", "Caffe, examples/mnist/lenet_train_test.prototxt"),
    ),
)

FORMS = {form.name: form for form in (PAPER, MODERN, CAFFE)}

TOP = ("full", "output")  # kinds of rows that include_top=False leaves out

# --------------------------------------------------------------------------------- the network


class LeNet5(nn.Sequential):
    """The table, folded into stages ``C1 S2 C3 S4 C5 F6 output``: (N, C, 32, 32) -> (N, classes).

    Parameters
    ----------
    form : str
        ``"paper"``, ``"modern"`` or ``"caffe"``.
    in_channels, num_classes : int
        The paper's form has 1 and 10.
    criterion : str, optional
        What ``self.form.loss`` is: ``"map"`` (equation 9) or ``"mse"`` (equation 8) in the paper's form.
    first_weights : str, optional
        The paper's form: ``"appendix_a"``, ±2.4 / F_i as printed, or ``"efficient_backprop"``, variance 1 / F_i.
    include_top : bool
        False: the maps of the last convolution (or subsampling) come out, without the full layers after it.
    pooling : {"avg", "max"}, optional
        With ``include_top=False``: one number of each of these maps.

    Raises
    ------
    OptionError
        If an option is unknown to the form, or out of its range.
    """

    def __init__(
        self,
        form: str = "modern",
        *,
        in_channels: int = 1,
        num_classes: int = 10,
        criterion: str | None = None,
        first_weights: str | None = None,
        include_top: bool = True,
        pooling: str | None = None,
    ) -> None:
        design = FORMS[check.choice("lenet5", "form", form, tuple(FORMS))]
        self.in_channels = check.integer("lenet5", "in_channels", in_channels, 1)
        self.num_classes = check.integer("lenet5", "num_classes", num_classes, 1)
        self.include_top, self.pooling = check.flag("lenet5", "include_top", include_top), pooling
        for option, only in design.fixed.items():
            if getattr(self, option) != only:
                raise OptionError(f"lenet5: {option} must be {only} in form={form!r}, got {getattr(self, option)}")
        self.criterion = _choose("criterion", criterion, design.criteria, form)
        self.first_weights = _choose("first_weights", first_weights, design.first_weights, form)
        sees = design.preprocess
        if isinstance(sees, Preprocessing):
            sees = sees.at(sees.size, self.in_channels)
        self.size = sees.size if isinstance(sees, Preprocessing) else SIZE
        self.form = replace(design, loss=design.criteria[self.criterion], preprocess=sees)
        stages = {row.stage: _layers(row, before, design) for row, before in self.rows()}
        super().__init__(stages | pooling_stage("lenet5", pooling, include_top))
        rule = design.first_weights[self.first_weights]
        if rule is not None:
            self._initialise(rule)

    def rows(self) -> Iterator[tuple[Row, int]]:
        """Iterate over the table's rows, each with the number of maps before it."""
        before = self.in_channels
        for row in self.form.table:
            if row.kind in TOP and not self.include_top:
                break
            maps = self.num_classes if row.kind == "output" else row.maps
            yield row._replace(maps=maps), before
            before = maps

    def _initialise(self, rule: Callable[..., Array]) -> None:
        """Draw all weights and biases by ``rule``, from F_i, the fan-in of the units that share a weight."""
        for row, before in self.rows():
            fan_in = _inputs(row, before, self.form)
            table = self.form.connections.get(row.stage)
            for parameter in self[row.stage].parameters():
                # A row of weights belongs to one map; with a connection table, to one connection of one map.
                shared = len(parameter) == row.maps
                fans = fan_in if shared or table is None else np.repeat(fan_in, table.sum(axis=1))
                fans = fans.reshape(-1, *[1] * (parameter.ndim - 1))
                nn.init.fill(parameter, rule(parameter.shape, random.generator("init"), fan_in=fans))


def _choose(option: str, value: str | None, known: Mapping[str, Any], form: str) -> str:
    """One of the names that the form knows, the first by default."""
    chosen = next(iter(known)) if value is None else value
    if chosen not in known:
        names = ", ".join(map(repr, known))
        raise OptionError(
            f"lenet5: {option} must be one of {names} in form={form!r}, got {value!r}{nearest(chosen, known)}"
        )
    return chosen


def _layers(row: Row, before: int, form: LeNetForm) -> nn.Module:
    """One stage: the layer of the row's kind, and the squashing function where the form has one."""
    layers: dict[str, nn.Module] = {}
    if row.kind == "convolution":
        layers["conv"] = nn.Conv2d(before, row.maps, row.window, table=form.connections.get(row.stage))
    elif row.kind == "subsampling":
        layers["pool"] = form.subsample(row.maps)
    elif row.kind == "full":
        layers["flatten"], layers["linear"] = nn.Flatten(), nn.Linear(before * row.window**2, row.maps)
    else:
        layers["output"] = form.output(before, row.maps)
    if row.kind in form.squashed:
        layers["squash"] = form.squash()
    return nn.Sequential(layers) if len(layers) > 1 else next(iter(layers.values()))


def _inputs(row: Row, before: int, form: LeNetForm) -> Array:
    """Inputs of one unit of each map of a row, int array (maps,): its fan-in."""
    maps_read = np.full(row.maps, 1 if row.kind == "subsampling" else before)
    if row.stage in form.connections:
        maps_read = form.connections[row.stage].sum(axis=1)
    return np.asarray(maps_read * row.window**2)


def connections(model: LeNet5) -> dict[str, int]:
    """Count what the paper calls connections, of each stage: the inputs of every unit, and its bias.

    Examples
    --------
    >>> import minicnn
    >>> sum(connections(minicnn.models.create("lenet5", form="paper")).values())
    340908
    """
    counts = {}
    for row, before in model.rows():
        biased = any(name.endswith("bias") for name, _ in model[row.stage].named_parameters())
        counts[row.stage] = row.size**2 * int((_inputs(row, before, model.form) + biased).sum())
    return counts


ARCHITECTURES = (Architecture("lenet5", LeNet5, FORMS, "modern"),)
