"""The seven networks against their papers and the published counts: to the unit, in every form."""

import re
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn import models, nn
from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import OptionError, ShapeError
from minicnn.inspect import diff, summary
from minicnn.models.architecture import ImageForm


def empty(*args, **options):
    """Make a network whose weights are all 0, which takes no time."""
    with nn.init.using(nn.init.zeros):
        return models.create(*args, **options)


# Parameters, running statistics of batch norm, multiply-adds for one image of the form's own size. Parameters and
# statistics: the papers', torchvision's and Keras' published numbers (ARCHITECTURES.md). Multiply-adds: what
# torchvision publishes to three digits (0.714, 7.609, 1.498, 5.713, 1.814, 3.664, 4.089, 7.801, 11.514 billion, ...),
# MobileNet's table 6, ResNet's table 1 (stride in the first 1x1: 3.8, 7.6 and 11.3 billion).
COUNTS = {
    "alexnet": {
        "paper": (60_965_224, 0, 724_406_816),
        "ungrouped": (62_378_344, 0, 1_135_256_096),
        "caffe": (60_965_224, 0, 724_406_816),
        "torchvision": (61_100_840, 0, 714_188_480),
    },
    **{
        f"vgg{depth}": dict.fromkeys(("paper", "caffe", "keras", "torchvision"), (parameters, 0, work))
        for depth, parameters, work in (
            (11, 132_863_336, 7_609_090_048),
            (13, 133_047_848, 11_308_466_176),
            (16, 138_357_544, 15_470_264_320),
            (19, 143_667_240, 19_632_062_464),
        )
    },
    "vgg11_bn": {"torchvision": (132_868_840, 5_504, 7_609_090_048)},
    "vgg13_bn": {"torchvision": (133_053_736, 5_888, 11_308_466_176)},
    "vgg16_bn": {"torchvision": (138_365_992, 8_448, 15_470_264_320)},
    "vgg19_bn": {"torchvision": (143_678_248, 11_008, 19_632_062_464)},
    "googlenet": {
        "paper": (6_998_552, 0, 1_582_671_872),
        "caffe": (6_998_552, 0, 1_582_671_872),
        "torchvision": (6_624_904, 14_560, 1_498_376_192),
    },
    "inception_v3": {
        "torchvision": (23_834_568, 34_432, 5_713_216_096),
        "keras": (23_817_352, 23_851_784 - 23_817_352, 5_713_216_096),
    },
    "resnet18": dict.fromkeys(("paper", "torchvision"), (11_689_512, 9_600, 1_814_073_344)),
    "resnet34": dict.fromkeys(("paper", "torchvision"), (21_797_672, 17_024, 3_663_761_408)),
    "resnet50": {
        "paper": (25_557_032, 53_120, 3_857_973_248),
        "caffe": (25_557_032, 53_120, 3_857_973_248),
        "torchvision": (25_557_032, 53_120, 4_089_184_256),
        "keras": (25_583_592, 25_636_712 - 25_583_592, 3_857_973_248),
        "keras_v2": (25_613_800 - 45_440, 45_440, 3_482_255_360),
    },
    "resnet101": {
        "paper": (44_549_160, 105_344, 7_570_194_432),
        "caffe": (44_549_160, 105_344, 7_570_194_432),
        "torchvision": (44_549_160, 105_344, 7_801_405_440),
        "keras": (44_707_176 - 105_344, 105_344, 7_570_194_432),
        "keras_v2": (44_675_560 - 97_664, 97_664, 7_194_476_544),
    },
    "resnet152": {
        "paper": (60_192_808, 151_424, 11_282_415_616),
        "caffe": (60_192_808, 151_424, 11_282_415_616),
        "torchvision": (60_192_808, 151_424, 11_513_626_624),
        "keras": (60_419_944 - 151_424, 151_424, 11_282_415_616),
        "keras_v2": (60_380_648 - 143_744, 143_744, 10_906_697_728),
    },
    **{
        f"resnet{depth}": dict.fromkeys(("paper", "akamaster"), (parameters, running, work))
        for depth, parameters, running, work in (
            (20, 269_722, 1_376, 40_551_040),
            (32, 464_154, 2_272, 68_862_592),
            (44, 658_586, 3_168, 97_174_144),
            (56, 853_018, 4_064, 125_485_696),
            (110, 1_727_962, 8_096, 252_887_680),
            (1202, 19_421_274, 89_632, 2_829_238_912),
        )
    },
    "xception": dict.fromkeys(("paper", "keras", "timm"), (22_855_952, 54_528, 8_357_403_496)),
    "mobilenet": dict.fromkeys(("paper", "keras", "timm"), (4_231_976, 21_888, 568_740_352)),
    "lenet5": {
        "paper": (60_000, 840, 117_600 + 1_176 + 150_000 + 400 + 48_000 + 10_080 + 840),
        "modern": (61_706, 0, 416_520),
        "caffe": (431_080, 0, 2_293_000),
    },
}

# Variants: options beyond the form, parameters, multiply-adds (None: not published).
VARIANTS = [
    ({"name": "vgg11", "form": "paper", "configuration": "A-LRN"}, 132_863_336, 7_609_090_048),
    ({"name": "vgg16", "form": "paper", "configuration": "C"}, 133_638_952, None),
    ({"name": "vgg16", "include_top": False}, 14_714_688, None),
    ({"name": "vgg19", "include_top": False}, 20_024_384, None),
    ({"name": "googlenet", "form": "paper", "aux": True}, 13_378_280, 1_582_671_872),
    ({"name": "googlenet", "form": "caffe", "aux": True}, 13_378_280, 1_582_671_872),
    ({"name": "googlenet", "aux": True}, 13_004_888, 1_498_376_192),
    ({"name": "inception_v3", "aux": True}, 27_161_264, 5_713_216_096),
    *[
        ({"name": f"resnet{n}", "shortcut": "B"}, parameters, None)
        for n, parameters in ((20, 272_474), (32, 466_906), (44, 661_338), (56, 855_770), (110, 1_730_714))
    ],
    ({"name": "xception", "include_top": False}, 20_806_952, None),
    ({"name": "mobilenet", "width": 0.75}, 2_585_560, 325_400_448),
    ({"name": "mobilenet", "width": 0.5}, 1_331_592, 149_497_088),
    ({"name": "mobilenet", "width": 0.25}, 470_072, 41_030_272),
    ({"name": "mobilenet", "width": 1.25}, 6_270_840, None),
    ({"name": "mobilenet", "width": 0.25, "include_top": False}, 218_544 - 5_472, None),
    (
        {"name": "resnet34", "shortcut": "A"},
        21_797_672 - 172_032 - 1_792,
        None,
    ),  # 64*128 + 128*256 + 256*512; their norms
]

# What the tables print as the output of each stage: maps, height.
_RESNET = {"conv1": (64, 112), "conv2_x": (256, 56), "conv3_x": (512, 28), "conv4_x": (1024, 14), "conv5_x": (2048, 7)}
_VGG = {"block1": (64, 112), "block2": (128, 56), "block3": (256, 28), "block4": (512, 14), "block5": (512, 7)}
_INCEPTIONS = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}
STAGES = {
    # section 3.5: 55, 27, 13 before the maxima
    ("alexnet", "paper"): {
        "conv1": (96, 27), "conv2": (256, 13), "conv3": (384, 13), "conv4": (384, 13), "conv5": (256, 6),
    },
    ("alexnet", "torchvision"): {"conv1": (64, 27), "conv2": (192, 13), "conv4": (256, 13), "conv5": (256, 6)},
    **{(f"vgg{depth}", form): _VGG for depth in (11, 13, 16, 19) for form in ("paper", "torchvision")},
    **{
        ("googlenet", form): {
            "conv1": (64, 112), "pool1": (64, 56), "conv2": (192, 56), "pool2": (192, 28), "pool3": (480, 14),
            "pool4": (832, 7),
            **{f"inception_{at}": (maps, {"3": 28, "4": 14, "5": 7}[at[0]]) for at, maps in _INCEPTIONS.items()},
        }
        for form in ("paper", "torchvision")
    },
    ("inception_v3", "torchvision"): {
        "conv_1a": (32, 149), "conv_2a": (32, 147), "conv_2b": (64, 147), "pool_3a": (64, 73), "conv_4a": (192, 71),
        "pool_5a": (192, 35), "mixed_5d": (288, 35), "mixed_6e": (768, 17), "mixed_7a": (1280, 8),
        "mixed_7c": (2048, 8),
    },
    **{
        (f"resnet{depth}", form): _RESNET
        for depth in (50, 101, 152) for form in ("paper", "caffe", "torchvision", "keras")
    },
    **{
        (f"resnet{depth}", form): {
            "conv1": (64, 112), "conv2_x": (64, 56), "conv3_x": (128, 28), "conv4_x": (256, 14), "conv5_x": (512, 7),
        }
        for depth in (18, 34) for form in ("paper", "torchvision")
    },
    ("resnet50", "keras_v2"): {"conv2_x": (256, 28), "conv3_x": (512, 14), "conv4_x": (1024, 7), "conv5_x": (2048, 7)},
    **{
        (f"resnet{depth}", "paper"): {"stage1": (16, 32), "stage2": (32, 16), "stage3": (64, 8)}
        for depth in (20, 32, 44, 56, 110)
    },
    **{
        ("xception", form): {
            "conv1": (32, 149), "conv2": (64, 147), "block2": (128, 74), "block3": (256, 37), "block4": (728, 19),
            "block12": (728, 19), "block13": (1024, 10), "block14": (2048, 10),
        }
        for form in ("paper", "keras", "timm")
    },
    **{
        ("mobilenet", form): {
            "conv1": (32, 112), "separable1": (64, 112), "separable2": (128, 56), "separable4": (256, 28),
            "separable6": (512, 14), "separable11": (512, 14), "separable12": (1024, 7), "separable13": (1024, 7),
        }
        for form in ("paper", "keras", "timm")
    },
}  # fmt: skip

EVERY = [(name, form) for name in models.list() for form in models.ARCHITECTURES[name].forms]
every_form = pytest.mark.parametrize(("name", "form"), EVERY)
PHOTO_FORMS = [(name, form) for name, form in EVERY if isinstance(models.ARCHITECTURES[name].forms[form], ImageForm)]
every_photo_form = pytest.mark.parametrize(("name", "form"), PHOTO_FORMS)


@every_form
def test_parameters_multiply_adds_and_stages_to_the_unit(name, form):
    model = empty(name, form=form)
    images = None if name != "lenet5" else model.form.preprocess(np.zeros((1, 28, 28), np.uint8))
    rows = summary(model, images)
    running = sum(buffer.size for buffer in model.buffers())
    assert (rows[""].parameters, running, rows[""].multiply_adds) == COUNTS[name][form]
    for stage, (maps, size) in STAGES.get((name, form), {}).items():
        assert rows[stage].output == (1, maps, size, size), stage
    if name != "lenet5":
        assert rows[""].output == (1, model.num_classes)


@pytest.mark.parametrize(("options", "parameters", "work"), VARIANTS, ids=lambda value: str(value))
def test_variants_to_the_unit(options, parameters, work):
    rows = summary(empty(**options))
    assert rows[""].parameters == parameters
    assert work in (None, rows[""].multiply_adds)


def test_every_form_has_a_source_for_each_difference():
    for name, form in EVERY:
        design = models.ARCHITECTURES[name].forms[form]
        assert design.summary
        assert form in ("paper", "modern") or design.differs
        assert all(what and source for what, source in design.differs)


# ------------------------------------------------------------------------------------- sizes of images


@every_photo_form
def test_the_smallest_size_is_the_smallest(name, form):
    """The named size runs; one pixel less fails in a layer, if the check did not forbid it before."""
    model = empty(name, form=form, include_top=False, width=1 / 32).eval()
    smallest = model.form.smallest
    model(np.zeros((1, 3, smallest, smallest + 3), np.float32))
    if smallest > 1:
        images = np.zeros((1, 3, smallest - 1, smallest + 3), np.float32)
        with pytest.raises(ShapeError, match=f"{name}: images must be at least {smallest} x {smallest}, got "):
            model(images)
        with pytest.raises(ShapeError, match=r"conv2d|max_pool2d|depthwise_conv2d"):
            nn.Sequential.forward(model, images)


@pytest.mark.parametrize("form", ["paper", "caffe", "keras"])
def test_a_head_made_for_one_size_says_so(form):
    text = r"vgg16: images must be 224 x 224, for .* layers .* \(include_top=False has none\), got 225 x 225"
    with pytest.raises(ShapeError, match=text):
        empty("vgg16", form=form)(np.zeros((1, 3, 225, 225), np.float32))
    with pytest.raises(OptionError, match="vgg16: size must be 224 x 224"):
        empty("vgg16", form=form, size=200)
    assert empty("vgg16", form=form, include_top=False, size=200).size == 200


def test_channels_are_checked():
    with pytest.raises(ShapeError, match=r"resnet18: images must have C = 3 channels, got shape \(1, 1, 224, 224\)"):
        empty("resnet18")(np.zeros((1, 1, 224, 224), np.float32))


def test_an_error_inside_names_the_stage():
    model = empty("resnet18", width=1 / 16)
    model.conv4_x.block1.layers.conv2.conv.weight = nn.Parameter(np.zeros((3, 5, 3, 3), np.float32))
    with pytest.raises(ShapeError, match=r"in resnet18\.conv4_x\.block1\.layers\.conv2\.conv"):
        model(np.zeros((1, 3, 64, 64), np.float32))


# ------------------------------------------------------------------------------------- heads, shortcuts, first weights


@pytest.mark.parametrize(
    ("name", "form", "heads", "weight"),
    [("googlenet", "paper", 2, 0.3), ("googlenet", "torchvision", 2, 0.3), ("inception_v3", "torchvision", 1, 0.4)],
)
def test_auxiliary_heads_speak_in_training_and_count_with_the_paper_s_weight(name, form, heads, weight):
    model = models.create(name, form=form, aux=True, num_classes=5, width=1 / 16)
    images, labels = np.random.default_rng(0).standard_normal((2, 3, 299, 299)).astype(np.float32), np.array([1, 4])
    images = images[:, :, : model.size, : model.size]
    outputs = model(images)
    assert [out.shape for out in outputs] == [(2, 5)] * (1 + heads)
    entropies = [float(minicnn.functional.cross_entropy(out, labels)) for out in outputs]
    assert float(model.form.loss(outputs, labels)) == pytest.approx(
        entropies[0] + weight * sum(entropies[1:]), rel=1e-6
    )
    np.testing.assert_array_equal(model.form.predict(outputs), np.argmax(outputs[0].numpy(), axis=1))
    model.form.loss(outputs, labels).backward()
    assert all(p.grad is not None for p in model.parameters())
    model.eval()
    assert model(images).shape == (2, 5)
    assert not any(path.startswith("aux") for path, _ in empty(name).named_children())


@pytest.mark.parametrize(
    ("name", "form", "least", "most"), [("googlenet", "paper", 223, 270), ("inception_v3", "keras", 299, None)]
)
def test_auxiliary_heads_want_their_sizes(name, form, least, most):
    with pytest.raises(
        OptionError, match=rf"{name}: size must be {least} \.\. .* \(aux=False has none\), got 160 x 160"
    ):
        empty(name, form=form, aux=True, size=160)
    model = empty(name, form=form, aux=True, width=1 / 32)
    for size in [size for size in (least, most) if size]:
        model(np.zeros((2, 3, size, size), np.float32))
    for size in [size for size in (least - 1, most and most + 1) if size]:
        images = np.zeros((2, 3, size, size), np.float32)
        with pytest.raises(ShapeError, match=f"{name}: images in training must be {least} .. "):
            model.train()(images)
        assert model.eval()(images).shape == (2, 1000)


def test_shortcuts_without_weights_keep_the_input_and_add_zeros():
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)
    from minicnn.models.resnet import Shortcut

    after, around = Shortcut(4, 2)(minicnn.Tensor(x)).numpy(), Shortcut(4, 2, centred=True)(minicnn.Tensor(x)).numpy()
    np.testing.assert_array_equal(after[:, :4], x[:, :, ::2, ::2])
    np.testing.assert_array_equal(around[:, 2:6], x[:, :, ::2, ::2])
    assert not after[:, 4:].any()
    assert not around[:, :2].any()
    assert not around[:, 6:].any()
    np.testing.assert_array_equal(Shortcut(0, 2)(minicnn.Tensor(x)).numpy(), x[:, :, ::2, ::2])


def test_alexnet_starts_as_the_paper_says():
    model = models.create("alexnet", form="paper")
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for stage, module in model.named_children():
        for path, parameter in module.named_parameters():
            if path.endswith("bias"):
                assert set(np.unique(parameter.numpy())) == ({1.0} if stage in ones else {0.0})
            else:
                assert parameter.numpy().std() == pytest.approx(0.01, rel=0.02)


def test_resnet_starts_with_variances_of_two_over_fan_out():
    model = models.create("resnet18")
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight.size / module.weight.shape[1]
            assert module.weight.numpy().std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.05), path


# ------------------------------------------------------------------------------------- diff


def test_diff_finds_what_the_list_says():
    text = str(diff("googlenet", "paper", "torchvision"))
    for line in (
        "parameters +6,998,552 +6,624,904",
        "Conv2d kernel_size +5 +3",
        "MaxPool2d kernel_size +3 +2 +pool4",
        "Dropout p +0.4 +0.2",
        r"LocalResponseNorm\b.*norm1, norm2",
        "torchvision issue 906",
    ):
        assert re.search(line, text), line


@every_photo_form
def test_a_form_does_not_differ_from_itself(name, form):
    if name not in ("resnet1202", "vgg19", "vgg19_bn"):
        assert diff(name, form, form, include_top=False).rows == ()


def test_diff_refuses_what_it_does_not_know():
    with pytest.raises(OptionError, match="create: form of resnet50"):
        diff("resnet50", "paper", "papers")


# ------------------------------------------------------------------------------------- preprocessing


@every_photo_form
def test_preprocessing_gives_what_the_network_takes(name, form):
    model = empty(name, form=form, include_top=False, width=1 / 32).eval()
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (130, 97, 3), dtype=np.uint8)
    x = model.form.preprocess([photo, photo[:, :, 0]])
    assert x.shape == (2, 3, model.size, model.size)
    assert x.dtype == np.float32
    assert all(field.name in repr(model.form.preprocess) for field in fields(Preprocessing))
    model(x[:1])


# ------------------------------------------------------------------------------------- small networks, drawn


FAMILIES = {
    "alexnet": ("torchvision",),
    "vgg11": ("torchvision",),
    "vgg13_bn": ("torchvision",),
    "vgg16": ("torchvision",),
    "googlenet": ("paper", "torchvision"),
    "inception_v3": ("torchvision", "keras"),
    "resnet18": ("paper", "torchvision"),
    "resnet50": ("paper", "caffe", "torchvision", "keras", "keras_v2"),
    "resnet20": ("paper", "akamaster"),
    "xception": ("paper", "keras", "timm"),
    "mobilenet": ("paper", "keras", "timm"),
}


@st.composite
def small_networks(draw):
    """Options of a thin network for small images, of any family."""
    name = draw(st.sampled_from(sorted(FAMILIES)))
    form = draw(st.sampled_from(FAMILIES[name]))
    least = max(models.ARCHITECTURES[name].forms[form].smallest, 32)
    options = {
        "name": name,
        "form": form,
        "width": 1 / draw(st.sampled_from([32, 24, 20])),
        "num_classes": draw(st.integers(2, 4)),
        "in_channels": draw(st.integers(1, 3)),
        "size": least + draw(st.integers(0, 3)),
    }
    if name.startswith("resnet") and form != "keras_v2":
        options["shortcut"] = draw(st.sampled_from("ABC"))
    return options


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(options=small_networks(), seed=st.integers(0, 2**16))
def test_any_small_network_runs_and_learns_as_the_textbook_says(options, seed):
    minicnn.manual_seed(seed)
    model = models.create(**options).astype("float64")
    rng = np.random.default_rng(seed)
    # Of two numbers a norm makes 1 and -1, whatever they are, and no gradient passes: hence four images.
    images = rng.standard_normal((4, options["in_channels"], options["size"], options["size"]))
    if model.form.norm is None:  # a layer of one or two maps may be off for all images: make everything positive
        images = np.abs(images)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.fill(module.bias, np.full(module.bias.shape, 0.3))
        elif model.form.norm is None and isinstance(module, (nn.Conv2d, nn.Linear)):
            weights = np.abs(module.weight.numpy())
            nn.init.fill(module.weight, weights / weights.reshape(len(weights), -1).sum(axis=1).mean())
    labels = rng.integers(0, options["num_classes"], 4)

    def learn():
        model.zero_grad()
        loss = model.form.loss(model(images), labels)
        loss.backward()
        return float(loss), [p.grad.numpy().copy() for p in model.parameters()]

    loss, gradients = learn()
    assert np.isfinite(loss)
    model.eval()
    fast = model(images).numpy()
    with minicnn.using_kernels("reference"):
        np.testing.assert_allclose(fast, model(images).numpy(), rtol=1e-8, atol=1e-8 * np.abs(fast).max())
    for (path, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert gradient.shape == parameter.shape
        assert np.isfinite(gradient).all(), path
        assert gradient.any(), path


# ------------------------------------------------------------------------------------- at full size

ONE_STEP = """
import resource, sys
import numpy as np
import minicnn
from minicnn import models, train

for name in sys.argv[1:]:
    model = models.create(name, **({"aux": True} if name in ("googlenet", "inception_v3") else {}))
    optimizer = train.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    rng = np.random.default_rng(0)
    images = model.form.preprocess(rng.integers(0, 256, (2, 3, 40, 50), dtype=np.uint8))
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.form.loss(model(images), np.array([1, 2]))
        loss.backward()
        optimizer.step()
    assert np.isfinite(float(loss)), name
    del model, optimizer, loss
    print(name, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, flush=True)
"""
FULL_SIZE = [name for name in models.list() if name not in ("lenet5", "resnet1202")]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_a_step_of_every_model_at_its_own_size_fits_8_gib():
    done = subprocess.run([sys.executable, "-c", ONE_STEP, *FULL_SIZE], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    used = {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}
    assert list(used) == FULL_SIZE
    assert max(used.values()) < 8
