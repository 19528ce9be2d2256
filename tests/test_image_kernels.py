"""The kernels of images: as their textbook twins, as Pillow, as the definitions."""

import colorsys

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.kernels import colour, resize, twin, warp
from minicnn.kernels.reference import colour as colour_reference
from minicnn.kernels.reference import resize as resize_reference
from minicnn.kernels.reference import warp as warp_reference
from minicnn.kernels.simd import PIXELS

NAMES = ("nearest", "bilinear", "bicubic")
KINDS = st.sampled_from(NAMES)


@st.composite
def images(draw, channels=(1, 3), least=1, most=12):
    """Images of both dtypes and of both layouts in memory."""
    c, h, w = draw(st.sampled_from(channels)), draw(st.integers(least, most)), draw(st.integers(least, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if draw(st.booleans()):  # hard edges: what shoots over the range must be cut off in the right place
        image = rng.integers(0, 2, (h, w, c), np.uint8) * np.uint8(255)
    else:
        image = rng.integers(0, 256, (h, w, c), np.uint8)
    if draw(st.booleans()):
        image = (image / np.float32(255)).astype(np.float32)
    image = image.transpose(2, 0, 1)
    return image if draw(st.booleans()) else np.ascontiguousarray(image)


@st.composite
def boxes(draw, h, w):
    left, right = sorted((draw(st.floats(0, w)), draw(st.floats(0, w))))
    top, bottom = sorted((draw(st.floats(0, h)), draw(st.floats(0, h))))
    return (left, top, max(right, min(left + 0.5, w)), max(bottom, min(top + 0.5, h))) if draw(st.booleans()) else (
        0.0, 0.0, float(w), float(h)
    )  # fmt: skip


def close(image, other):
    assert image.dtype == other.dtype
    tolerance = 1 if image.dtype == np.uint8 else 2e-6
    np.testing.assert_allclose(image.astype(np.float64), other.astype(np.float64), atol=tolerance, rtol=0)


@given(st.data(), images(), KINDS, st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_resize_is_its_twin(data, image, kind, h, w, mirror):
    box = data.draw(boxes(*image.shape[1:]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return
    options = {"box": box, "size": (h, w), "kind": kind, "mirror": mirror}
    before = image.copy()
    close(resize.resize(image, **options), resize_reference.resize(image, **options))
    np.testing.assert_array_equal(image, before)


@given(st.data(), st.integers(1, 70), st.integers(1, 70), KINDS, st.integers(1, 40), st.integers(1, 40))
def test_resize_is_pillows_to_one_grey_level(data, h, w, kind, out_h, out_w):
    """Where a cubic shoots over the range it matters which way comes first: since Pillow 13 (pull request 9549) that is
    the height where it is much less than before; until then, and here, always the width."""
    rng = np.random.default_rng(h * 71 + w)
    left, top = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    box = (left, top, data.draw(st.integers(left + 1, w)), data.draw(st.integers(top + 1, h)))
    hard = data.draw(st.booleans())
    pixels = (
        rng.integers(0, 2, (h, w, 3), np.uint8) * np.uint8(255) if hard else rng.integers(0, 256, (h, w, 3), np.uint8)
    )
    if kind == "bicubic" and out_h < h:
        pixels = 64 + pixels // 2  # within the range
    theirs = PIL.Image.fromarray(pixels).resize((out_w, out_h), PIL.Image.Resampling[kind.upper()], box=box)
    ours = resize.resize(pixels.transpose(2, 0, 1), box=box, size=(out_h, out_w), kind=kind, mirror=False)
    difference = np.abs(ours.transpose(1, 2, 0).astype(int) - np.asarray(theirs))
    assert difference.max() <= (0 if kind == "nearest" else 1)  # its sums are fixed-point, ours are float32


def test_nearest_between_two_pixels_is_pillows():
    """Half of all outputs may lie there; which one it is depends on how Pillow adds up its steps."""
    image = np.arange(40, dtype=np.uint8)[None]
    for w in range(1, 41):
        picture = PIL.Image.fromarray(image[:, :w])
        for out in range(1, 41):
            ours = resize.resize(image[None, :, :w], box=(0, 0, w, 1), size=(1, out), kind="nearest", mirror=False)
            np.testing.assert_array_equal(ours[0], picture.resize((out, 1), PIL.Image.Resampling.NEAREST))


@given(st.data(), images(channels=(1,)), st.integers(1, 20), st.integers(1, 20))
def test_floats_are_resized_as_by_pillow(data, image, h, w):
    image = (image / np.float32(255)).astype(np.float32) if image.dtype == np.uint8 else image
    box = (0, 0, data.draw(st.integers(1, image.shape[2])), data.draw(st.integers(1, image.shape[1])))
    theirs = PIL.Image.fromarray(image[0]).resize((w, h), PIL.Image.Resampling.BILINEAR, box=box)
    ours = resize.resize(image, box=box, size=(h, w), kind="bilinear", mirror=False)
    np.testing.assert_allclose(ours[0], np.asarray(theirs), atol=2e-6)


@given(st.data(), images(), KINDS, st.integers(1, 20), st.integers(1, 20))
def test_a_mirrored_resize_is_the_mirror_image(data, image, kind, h, w):
    options = {"box": (0, 0, image.shape[2], image.shape[1]), "size": (h, w), "kind": kind}
    mirrored = resize.resize(image, mirror=True, **options)
    np.testing.assert_array_equal(mirrored, resize.resize(image, mirror=False, **options)[..., ::-1])


@given(images(), KINDS)
def test_an_image_at_its_own_size_is_itself(image, kind):
    h, w = image.shape[1:]
    np.testing.assert_array_equal(resize.resize(image, box=(0, 0, w, h), size=(h, w), kind=kind, mirror=False), image)


@pytest.mark.parametrize("kernels", ["fast", "reference"])
@given(images(), st.integers(1, 20), KINDS)
def test_bytes_are_rounded_to_the_nearest(kernels, image, out, kind):
    image = image if image.dtype == np.uint8 else (255 * image).astype(np.uint8)
    exact = image.astype(np.float32) / 255
    matrix = np.array([[0.8, 0.3, 0.1], [-0.3, 0.9, 0.2], [0.01, 0, 1]])
    h, w = image.shape[1:]
    options = {"box": (0, 0, w, h), "kind": kind, "mirror": False}
    with minicnn.using_kernels(kernels):
        wider = [twin("resize").resize(x, size=(h, out), **options) for x in (image, exact)]
        higher = [twin("resize").resize(x, size=(out, w), **options) for x in (image, exact)]
        turned = [twin("warp").warp(x, matrix=matrix, fill=0) for x in (image, exact)]
    for rounded, whole in (wider, higher, turned):
        assert np.abs(rounded - 255.0 * whole).max() <= 0.501


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("width", [1, PIXELS - 1, PIXELS, PIXELS + 1, 2 * PIXELS + 1, 4 * PIXELS])
def test_nothing_comes_from_outside_the_image_and_no_place_is_left_out(dtype, width):
    """The image lies between poison."""
    around = np.full(9 * width + 128, np.nan if dtype == np.float32 else 255, dtype)
    around[64:-64] = 0
    planes = around[64:-64].reshape(3, 3, width)
    for image in (planes, planes.reshape(3, width, 3).transpose(2, 0, 1)):
        for kind in NAMES:
            made = resize.resize(image, box=(0.25, 0, width, 3), size=(7, width + 3), kind=kind, mirror=False)
            np.testing.assert_array_equal(made, 0)


def test_a_mean_of_four_pixels_by_hand():
    image = np.uint8([[[10, 20], [30, 41]]])
    options = {"box": (0, 0, 2, 2), "size": (1, 1), "kind": "bilinear", "mirror": False}
    # rows first: (10 + 20) / 2 = 15, (30 + 41) / 2 = 35.5; then (15 + 35.5) / 2 = 25.25, which alone is rounded
    assert resize.resize(image, **options) == resize_reference.resize(image, **options) == 25


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("brightness", "contrast", "saturation")), st.floats(0, 2)),
        st.tuples(st.just("hue"), st.floats(-0.5, 0.5)),
    ),
    max_size=5,
)


@given(images(channels=(3,)), STEPS)
def test_colour_is_its_twin(image, steps):
    before = image.copy()
    close(colour.adjust(image, steps=steps), colour_reference.adjust(image, steps=steps))
    np.testing.assert_array_equal(image, before)


def test_the_hue_of_what_is_nearly_black():
    image = np.float32([0.4, 0.5, 0.8]).reshape(3, 1, 1)
    steps = [("brightness", 1.5e-45), ("hue", 0.25), ("saturation", 2.0)]
    for kernels in (colour, colour_reference):
        np.testing.assert_allclose(kernels.adjust(image, steps=steps), 0, atol=1e-40)


def test_a_contrast_after_others_takes_the_mean_that_they_left():
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 50), np.uint8)  # more than one block of pixels
    steps = [("contrast", 1.5), ("brightness", 0.5), ("contrast", 0.6), ("saturation", 0.3)]
    close(colour.adjust(image, steps=steps), colour_reference.adjust(image, steps=steps))


@given(st.tuples(*[st.integers(0, 255)] * 3), st.floats(-0.5, 0.5))
def test_hue_is_the_standard_librarys(pixel, amount):
    hue, saturation, value = colorsys.rgb_to_hsv(*(v / 255 for v in pixel))
    expected = np.array(colorsys.hsv_to_rgb((hue + amount) % 1, saturation, value)) * 255
    turned = colour.adjust(np.uint8(pixel).reshape(3, 1, 1), steps=[("hue", amount)]).ravel()
    np.testing.assert_allclose(turned, expected, atol=0.51)


def test_blends_by_hand():
    image = np.float32([[[0.2, 0.4]], [[0.4, 0.4]], [[0.6, 0.4]]])
    np.testing.assert_allclose(colour.adjust(image, steps=[("brightness", 0.5)]), image / 2, rtol=1e-6)
    grey = 0.2989 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6
    pale = colour.adjust(image, steps=[("saturation", 0.0)])
    np.testing.assert_allclose(pale[:, 0, 0], [grey] * 3, rtol=1e-6)
    mean = (grey + 0.9999 * 0.4) / 2
    np.testing.assert_allclose(colour.adjust(image, steps=[("contrast", 0.0)]), np.full_like(image, mean), rtol=1e-6)


@st.composite
def matrices(draw):
    entries = [draw(st.floats(-2, 2)) for _ in range(6)]
    return np.array([entries[:3], entries[3:], [draw(st.floats(-0.1, 0.1)), draw(st.floats(-0.1, 0.1)), 1.0]])


@given(images(), matrices(), st.floats(0, 1))
def test_warp_is_its_twin(image, matrix, fill):
    close(warp.warp(image, matrix=matrix, fill=fill), warp_reference.warp(image, matrix=matrix, fill=fill))


@given(st.data(), images())
def test_displace_is_its_twin(data, image):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shifts = rng.normal(0, data.draw(st.sampled_from((0.0, 0.7, 30.0))), (2, *image.shape[1:]))
    if data.draw(st.booleans()):
        shifts.flat[0] = np.nan
    close(warp.displace(image, shifts=shifts, fill=0.3), warp_reference.displace(image, shifts=shifts, fill=0.3))


@given(images(), st.integers(-3, 3), st.integers(-3, 3))
def test_a_shift_by_whole_pixels_is_exact(image, right, down):
    matrix = np.array([[1, 0, -right], [0, 1, -down], [0, 0, 1.0]])
    moved = warp.warp(image, matrix=matrix, fill=0)
    h, w = image.shape[1:]
    expected = np.zeros_like(image)
    for y in range(h):
        for x in range(w):
            if 0 <= y - down < h and 0 <= x - right < w:
                expected[:, y, x] = image[:, y - down, x - right]
    np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_change_nothing(threads):
    image = np.random.default_rng(1).integers(0, 256, (3, 300, 400), np.uint8)
    before = minicnn.get_num_threads()
    results = []
    try:
        for count in (1, threads):
            minicnn.set_num_threads(count)
            made = resize.resize(image, box=(3, 5, 390, 280), size=(224, 224), kind="bicubic", mirror=True)
            results.append((made, warp.warp(image, matrix=np.diag([1.1, 0.9, 1]), fill=0)))
    finally:
        minicnn.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_points_at_infinity_are_filled():
    image = np.ones((1, 4, 4), np.float32)
    matrix = np.array([[1, 0, 0], [0, 1, 0], [1, 0, -1.5]])  # the denominator is 0 in the second column
    for kernels in (warp, warp_reference):
        np.testing.assert_array_equal(kernels.warp(image, matrix=matrix, fill=0.25)[0, :, 1], 0.25)
