"""Augmentation: labels stay true, nothing is changed in place, the same numbers give the same image."""

from functools import partial

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import augmentation as A
from minicnn.data.augmentation.colour import auto_contrast, equalize, posterize, sharpen, solarize
from minicnn.data.augmentation.policies import RAND, WIDE
from minicnn.errors import DTypeError, LabelError, OptionError, ShapeError

SAME_SIZE = {
    "Flip": A.Flip(), "Flip vertical": A.Flip(vertical=True), "PadAndCrop": A.PadAndCrop(3), "Rotate": A.Rotate(40),
    "Translate": A.Translate(0.3), "Shear": A.Shear(30), "Zoom": A.Zoom(0.5), "Affine": A.Affine(30, 0.2, 0.3, 20, 0.5),
    "Perspective": A.Perspective(0.5), "Elastic": A.Elastic(20, 2), "Brightness": A.Brightness(0.7),
    "Contrast": A.Contrast(1.5), "Saturation": A.Saturation(0.9), "Hue": A.Hue(0.5),
    "ColourJitter": A.ColourJitter(0.4, 0.4, 0.4, 0.1), "PCANoise": A.PCANoise(1.0), "Noise": A.Noise(0.5),
    "Blur": A.Blur(3), "Sharpness": A.Sharpness(2), "Grey": A.Grey(), "Invert": A.Invert(),
    "AutoContrast": A.AutoContrast(), "Equalize": A.Equalize(), "Posterize": A.Posterize(bits=3),
    "Solarize": A.Solarize(), "Cutout": A.Cutout(0.4), "RandomErasing": A.RandomErasing(0.9),
    "RandAugment": A.RandAugment(3, 20), "TrivialAugment": A.TrivialAugment(),
}  # fmt: skip
OTHER_SIZE = {"RandomResizedCrop": A.RandomResizedCrop(7), "bicubic": A.RandomResizedCrop(7, interpolation="bicubic"),
              "imagenet": A.imagenet(7)}  # fmt: skip
# At a strength of zero.
IDENTITIES = {
    "Flip": A.Flip(0), "PadAndCrop": A.PadAndCrop(0), "Rotate": A.Rotate(0), "Translate": A.Translate(0),
    "Shear": A.Shear(0), "Zoom": A.Zoom(0), "Affine": A.Affine(), "Perspective": A.Perspective(0),
    "Elastic": A.Elastic(0), "Brightness": A.Brightness(0), "Contrast": A.Contrast(0), "Saturation": A.Saturation(0),
    "Hue": A.Hue(0), "ColourJitter": A.ColourJitter(), "PCANoise": A.PCANoise(0), "Noise": A.Noise(0),
    "Blur": A.Blur(0), "Sharpness": A.Sharpness(0), "Grey": A.Grey(0), "Invert": A.Invert(0),
    "AutoContrast": A.AutoContrast(0), "Equalize": A.Equalize(0), "Posterize": A.Posterize(1, 8),
    "Solarize": A.Solarize(1, 2), "Cutout": A.Cutout(0), "RandomErasing": A.RandomErasing(0),
    "RandAugment": A.RandAugment(0), "Compose": A.Compose(()),
}  # fmt: skip


@st.composite
def images(draw, least=3):
    h, w = draw(st.integers(least, 16)), draw(st.integers(least, 16))
    shape = (*draw(st.sampled_from(((), (1,), (3,)))), h, w)
    image = np.random.default_rng(draw(st.integers(0, 999))).integers(0, 256, shape, np.uint8)
    if draw(st.booleans()):
        image = (image / np.float32(255)).astype(np.float32)
    if image.ndim == 3 and draw(st.booleans()):
        image = np.ascontiguousarray(image.transpose(1, 2, 0)).transpose(2, 0, 1)  # as photos lie in memory
    image.flags.writeable = False
    return image


seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("name", [*SAME_SIZE, *OTHER_SIZE])
@given(image=images(), seed=seeds)
def test_what_all_of_them_promise(name, image, seed):
    change = {**SAME_SIZE, **OTHER_SIZE}[name]
    before = image.copy()
    made, again = (change(image, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(image, before)
    assert made.dtype == image.dtype
    assert made.ndim == image.ndim
    assert not np.shares_memory(made, image)
    assert 0 <= made.min() <= made.max() <= (255 if image.dtype == np.uint8 else 1)
    size = image.shape[-2:] if name in SAME_SIZE else (7, 7)
    assert made.shape == (*image.shape[:-2], *size)


@pytest.mark.parametrize("name", IDENTITIES)
@given(image=images(), seed=seeds)
def test_nothing_happens_at_zero_strength(name, image, seed):
    made = IDENTITIES[name](image, np.random.default_rng(seed))
    if image.dtype == np.uint8:
        np.testing.assert_array_equal(made, image)
    else:
        np.testing.assert_allclose(made, image, atol=1e-6)


@pytest.mark.parametrize("name", [*SAME_SIZE, *OTHER_SIZE])
def test_something_happens_otherwise_and_not_always_the_same(name):
    change = {**SAME_SIZE, **OTHER_SIZE}[name]
    image = np.random.default_rng(5).integers(60, 150, (3, 24, 30), np.uint8)
    made = [change(image, np.random.default_rng(seed)) for seed in range(8)]
    assert any(one.shape != image.shape or (one != image).any() for one in made)
    assert len({one.tobytes() for one in made}) > 1


@given(images(), st.booleans())
def test_a_mirror_image_of_a_mirror_image(image, vertical):
    flip, rng = A.Flip(1, vertical), np.random.default_rng(0)
    np.testing.assert_array_equal(flip(flip(image, rng), rng), image)


def test_pad_and_crop_moves_by_whole_pixels_in_all_directions():
    image = np.random.default_rng(0).integers(1, 256, (3, 6, 5), np.uint8)
    moves = set()
    for seed in range(200):
        moved = A.PadAndCrop(2)(image, np.random.default_rng(seed))
        fits = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                expected = np.zeros_like(image)
                for y in range(6):
                    for x in range(5):
                        if 0 <= y - down < 6 and 0 <= x - right < 5:
                            expected[:, y, x] = image[:, y - down, x - right]
                if (expected == moved).all():
                    fits.append((down, right))
        (move,) = fits
        moves.add(move)
    assert len(moves) == 25


def test_pad_and_crop_to_another_size():
    image = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    corners = {A.PadAndCrop(1, size=7)(image, np.random.default_rng(seed))[1, 1] for seed in range(20)}
    assert corners == {1, 2}  # 7 x 8 with its padding: no choice but left or right
    assert A.PadAndCrop(0, size=3)(image, np.random.default_rng(0)).shape == (3, 3)
    grey = A.PadAndCrop(3, fill=0.5, size=11)(image.astype(np.float32) / 30, np.random.default_rng(0))
    assert grey[0, 0] == 0.5
    with pytest.raises(ShapeError, match=r"must not be smaller than size=8, got \(1, 5, 6\) and padding=1"):
        A.PadAndCrop(1, size=8)(image, np.random.default_rng(0))


@given(images(), seeds)
def test_a_crop_and_its_mirror_image(image, seed):
    crop, mirrored = (A.RandomResizedCrop(7, flip=p)(image, np.random.default_rng(seed)) for p in (0, 1))
    np.testing.assert_array_equal(mirrored, crop[..., ::-1])


@given(st.floats(-89, 89), st.floats(-89, 89))
def test_no_shear_makes_an_image_flat(across, down):
    from minicnn.data.augmentation.geometry import affine

    assert np.linalg.det(affine(shear=(across, down))) == pytest.approx(1, abs=1e-6)


def test_a_flip_is_drawn_as_often_as_it_says():
    image = np.uint8([[1, 2]])
    flipped = sum(A.Flip(0.3)(image, np.random.default_rng(seed))[0, 0] == 2 for seed in range(1000))
    assert 250 < flipped < 350


@given(st.integers(0, 360), st.integers(2, 12))
def test_a_quarter_turn_is_exact(seed, side):
    from minicnn.data.augmentation.geometry import affine, bend

    image = np.random.default_rng(seed).integers(0, 256, (1, side, side), np.uint8)
    np.testing.assert_array_equal(bend(image, affine(90)), np.rot90(image, -1, axes=(1, 2)))


def test_crops_have_the_area_and_aspect_that_were_asked_for():
    crop = A.RandomResizedCrop(8, (0.2, 0.6), (0.5, 2.0))
    boxes = [crop.box(200, 300, np.random.default_rng(seed)) for seed in range(500)]
    area = np.array([(right - left) * (bottom - top) for left, top, right, bottom in boxes]) / 60_000
    ratio = np.array([(right - left) / (bottom - top) for left, top, right, bottom in boxes])
    assert 0.19 < area.min() < 0.25
    assert 0.55 < area.max() < 0.61
    assert 0.49 < ratio.min() < 0.6
    assert 1.8 < ratio.max() < 2.02
    assert all(0 <= left and 0 <= top and right <= 300 and bottom <= 200 for left, top, right, bottom in boxes)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (1, 1)])
def test_a_crop_of_an_image_without_room_is_its_middle(shape):
    left, top, right, bottom = A.RandomResizedCrop(8, (0.9, 1.0)).box(*shape, np.random.default_rng(0))
    assert (bottom - top) * (right - left) >= 1
    assert left == (shape[1] - (right - left)) // 2


# ----------------------------------------------------------------------------------------- as Pillow


def pillow(image):
    return PIL.Image.fromarray(image.transpose(1, 2, 0))


COLOURS = np.random.default_rng(2).integers(30, 200, (3, 21, 34), np.uint8)
AS_PILLOW = {
    "posterize": (partial(posterize, bits=3), lambda p: PIL.ImageOps.posterize(p, 3), 0),
    "solarize": (partial(solarize, threshold=100 / 255), lambda p: PIL.ImageOps.solarize(p, 100), 0),
    "equalize": (equalize, PIL.ImageOps.equalize, 0),
    "auto_contrast": (auto_contrast, PIL.ImageOps.autocontrast, 1),  # it cuts off what we round
    "sharpen": (partial(sharpen, factor=1.8), lambda p: PIL.ImageEnhance.Sharpness(p).enhance(1.8), 2),
    "soften": (partial(sharpen, factor=0.2), lambda p: PIL.ImageEnhance.Sharpness(p).enhance(0.2), 2),
}


@pytest.mark.parametrize("name", AS_PILLOW)
def test_changes_are_pillows(name):
    ours, theirs, levels = AS_PILLOW[name]
    expected = np.asarray(theirs(pillow(COLOURS))).transpose(2, 0, 1).astype(int)
    assert np.abs(ours(COLOURS) - expected).max() <= levels


def test_flat_images_survive_what_stretches():
    flat = np.full((3, 8, 8), 77, np.uint8)
    for change in (equalize, auto_contrast):
        np.testing.assert_array_equal(change(flat), flat)


def test_policies_have_the_published_tables():
    assert len(RAND) == len(WIDE) == 14
    assert RAND["rotate"].most == 30
    assert WIDE["rotate"].most == 135
    assert RAND["posterize"][1:3] == (8, 4)
    assert WIDE["posterize"][1:3] == (8, 2)


# ----------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("kind", [A.Mixup, A.CutMix])
@given(count=st.integers(1, 7), classes=st.integers(1, 5), alpha=st.floats(0.05, 5), seed=seeds)
def test_mixing_keeps_the_mass_of_labels(kind, count, classes, alpha, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 3, 6, 5), np.uint8)
    labels = rng.integers(classes, size=count)
    before = images.copy()
    mixed, shares = kind(classes, alpha)(images, labels, rng)
    np.testing.assert_array_equal(images, before)
    assert (mixed.dtype, mixed.shape) == (images.dtype, images.shape)
    assert (shares.dtype, shares.shape) == (np.float32, (count, classes))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares.sum(axis=0), np.bincount(labels, minlength=classes), atol=1e-4)
    assert shares.min() >= 0


def test_shares_are_those_of_the_pixels():
    images = np.stack([np.zeros((1, 20, 20), np.float32), np.ones((1, 20, 20), np.float32)])
    for kind in (A.Mixup, A.CutMix):
        for seed in range(20):
            mixed, shares = kind(2, 1.0)(images, np.array([0, 1]), np.random.default_rng(seed))
            np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), shares[:, 1], atol=1e-6)


def test_batches_that_do_not_fit_together_are_told():
    rng, images = np.random.default_rng(0), np.zeros((2, 1, 2, 2), np.uint8)
    for mix in (A.Mixup(2), A.CutMix(2)):
        with pytest.raises(ShapeError, match=r"labels \(N,\), got \(2, 1, 2, 2\) and \(3,\)"):
            mix(images, np.array([0, 1, 1]), rng)
        with pytest.raises(DTypeError, match="labels must be integers, got float64"):
            mix(images, np.array([0.0, 1.0]), rng)
        with pytest.raises(DTypeError, match="images must be uint8 or float32, got float64"):
            mix(images.astype(np.float64), np.array([0, 1]), rng)


def test_a_label_out_of_range_is_told():
    with pytest.raises(LabelError, match=r"0 \.\. 1, got 0 \.\. 2"):
        A.Mixup(2)(np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 2]), np.random.default_rng(0))


def test_ten_crop():
    views = A.TenCrop(4)(np.arange(3 * 6 * 8, dtype=np.uint8).reshape(3, 6, 8))
    assert views.shape == (10, 3, 4, 4)
    np.testing.assert_array_equal(views[5:], views[:5, ..., ::-1])
    with pytest.raises(ShapeError, match="at least 4 x 4, got 3 x 8"):
        A.TenCrop(4)(np.zeros((3, 3, 8), np.uint8))


# ----------------------------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: A.Flip(1.5), r"Flip: p must be a number in 0 \.\. 1, got 1.5"),
        (lambda: A.Flip(float("nan")), "p must be"),
        (lambda: A.PadAndCrop(1.5), "padding must be an integer >= 0, got 1.5"),
        (lambda: A.RandomResizedCrop(0), "size must be an integer >= 1, got 0"),
        (lambda: A.RandomResizedCrop(8, (0.9, 0.1)), "the smaller first"),
        (lambda: A.RandomResizedCrop(8, interpolation="area"), "'bilinear', 'bicubic', got 'area'"),
        (lambda: A.RandomResizedCrop(8, 0.5), "scale must be a pair of numbers"),
        (lambda: A.Blur((1, 2)), "sigma must be a number"),
        (lambda: A.PadAndCrop(1, size=0), "size must be an integer >= 1, got 0"),
        (lambda: A.Compose((A.Flip(), "flip")), "every step must be an augmentation, got 'flip'"),
        (lambda: A.Hue(0.7), r"hue must be a number in 0 \.\. 0.5, got 0.7"),
        (lambda: A.Noise("much"), "std must be a number >= 0, got 'much'"),
        (lambda: A.Posterize(1, 9), "bits must be an integer in 1 .. 8, got 9"),
        (lambda: A.RandAugment(-1), "n must be an integer >= 0, got -1"),
        (lambda: A.Mixup(0), "classes must be an integer >= 1, got 0"),
        (lambda: A.CutMix(2, 0.0), "alpha must be a number > 0, got 0.0"),
    ],
)
def test_options_are_checked(make, text):
    with pytest.raises(OptionError, match=text):
        make()


def test_other_arrays_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeError, match=r"Flip: an image must have shape .* got \(2, 8, 8\)"):
        A.Flip()(np.zeros((2, 8, 8), np.uint8), rng)
    with pytest.raises(ShapeError, match=r"got \(3, 0, 8\)"):
        A.Flip()(np.zeros((3, 0, 8), np.uint8), rng)
    with pytest.raises(DTypeError, match="uint8 or float32, got float64"):
        A.Blur()(np.zeros((8, 8)), rng)
