"""Our image kernels beside torchvision's functions: colours, crops, homographies, elastic shifts."""

from importlib.util import find_spec

import numpy as np
import pytest

from minicnn.data.augmentation.colour import adjust, equalize, posterize, sharpen, solarize
from minicnn.data.augmentation.geometry import affine, bend
from minicnn.data.augmentation.policies import RAND, WIDE
from minicnn.kernels import resize
from parity.originals import torchvision

MISSING = [package for package in ("torch", "torchvision") if find_spec(package) is None]
pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (CONTRIBUTING.md, add a network)"),
]

BYTES = np.random.default_rng(3).integers(0, 256, (3, 6, 8), np.uint8).repeat(6, axis=1).repeat(5, axis=2)
FLOATS = (BYTES / np.float32(255)).astype(np.float32)
NAMES = {"brightness": "adjust_brightness", "contrast": "adjust_contrast", "saturation": "adjust_saturation"}


def theirs(name, image, *arguments, **options):
    import torch

    torchvision()
    from torchvision.transforms.v2 import functional

    return getattr(functional, name)(torch.from_numpy(image), *arguments, **options).numpy()


def difference(ours, original):
    return np.abs(ours.astype(np.float64) - original.astype(np.float64)).max()


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("what", NAMES)
def test_brightness_contrast_and_saturation(what, amount):
    for image, allowed in ((FLOATS, 2e-6), (BYTES, 2)):  # bytes: they cut off the grey and the blend, we round once
        assert difference(adjust(image, [(what, amount)]), theirs(NAMES[what], image, amount)) <= allowed


@pytest.mark.parametrize("amount", [-0.5, -0.2, 0.0, 0.1, 0.45])
def test_hue(amount):
    for image, allowed in ((FLOATS, 2e-5), (BYTES, 1)):
        assert difference(adjust(image, [("hue", amount)]), theirs("adjust_hue", image, amount)) <= allowed


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 30), (50, 17), (64, 64)])
def test_a_resized_crop(kind, size):
    from torchvision.transforms import InterpolationMode

    mode = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}[kind]
    top, left, h, w = 4, 3, 29, 31
    crop = np.ascontiguousarray(BYTES[:, top : top + h, left : left + w])  # they cut first, we look beyond the edge
    original = theirs("resize", crop, list(size), interpolation=mode, antialias=True)
    assert difference(resize.resize(crop, box=(0, 0, w, h), size=size, kind=kind, mirror=False), original) <= 1


@pytest.mark.parametrize(
    ("options", "matrix"),
    [
        ({"angle": 25.0}, affine(25)),
        ({"translate": [5, -3]}, affine(shift=(5, -3))),
        ({"scale": 1.4}, affine(zoom=1.4)),
        ({"angle": -160.0, "translate": [2, 1], "scale": 0.8}, affine(-160, zoom=0.8, shift=(2, 1))),
    ],
)
def test_affine(options, matrix):
    from torchvision.transforms import InterpolationMode

    whole = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0], **options}
    original = theirs("affine", FLOATS, interpolation=InterpolationMode.BILINEAR, **whole)
    inner = np.s_[:, 1:-1, 1:-1]
    ours = bend(FLOATS, matrix)
    # along the edge of what comes from outside they blend differently
    away = np.abs(ours[inner] - original[inner]) > 1e-3
    assert away.mean() < 0.03


@pytest.mark.parametrize("space", [RAND, WIDE], ids=["rand", "wide"])
def test_the_policies_shears_are_theirs(space):
    """A strength s moves the next row by s pixels: ``degrees(atan(s))``, as torchvision has it after the authors."""
    slope = np.tan(np.radians(space["shear_x"].most))
    assert slope == pytest.approx(0.3 if space is RAND else 0.99)


def test_levels():
    assert difference(posterize(BYTES, 3), theirs("posterize", BYTES, 3)) == 0
    assert difference(solarize(BYTES, 100 / 255), theirs("solarize", BYTES, 100)) == 0
    assert difference(equalize(BYTES), theirs("equalize", BYTES)) <= 1
    assert difference(sharpen(BYTES, 1.8), theirs("adjust_sharpness", BYTES, 1.8)) <= 2
