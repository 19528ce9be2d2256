"""Photos of any kind, as the first layer of each network wants them."""

import numpy as np
import PIL.Image
import pytest

from minicnn.data.preprocessing import Preprocessing
from minicnn.errors import DTypeError, OptionError, ShapeError
from minicnn.models.architecture import CAFFE, PLUS_MINUS_ONE, TORCH

PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", [PLUS_MINUS_ONE, TORCH, CAFFE])
def test_scale_mean_deviation_and_order(kind):
    colours = np.array([10.0, 100.0, 250.0])
    image = np.broadcast_to(colours.astype(np.uint8), (50, 40, 3))
    got = kind.at(16)([image])[0, :, 8, 8]
    if kind is PLUS_MINUS_ONE:
        expected = colours / 127.5 - 1
    elif kind is TORCH:
        expected = (colours / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    else:
        expected = colours[::-1] - [103.939, 116.779, 123.68]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_the_shorter_side_is_resized_and_the_middle_cut_out():
    """As torchvision does: Resize(32), CenterCrop(28), of a Pillow image."""
    see = Preprocessing(size=28, resize=32)
    picture = PIL.Image.fromarray(PHOTO).resize((48, 32), PIL.Image.Resampling.BILINEAR)
    expected = np.asarray(picture)[2:30, 10:38].transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(see([PHOTO])[0], expected)
    np.testing.assert_array_equal(see([PIL.Image.fromarray(PHOTO)])[0], expected)
    tall = see([PHOTO.transpose(1, 0, 2)])[0]
    assert tall.shape == (3, 28, 28)


def test_without_resize_the_whole_image_is_stretched():
    picture = PIL.Image.fromarray(PHOTO).resize((20, 20), PIL.Image.Resampling.NEAREST)
    got = Preprocessing(size=20, interpolation="nearest")([PHOTO])[0]
    np.testing.assert_array_equal(got, np.asarray(picture).transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(2, 9, 9), (2, 1, 9, 9), (2, 3, 9, 9)])
def test_arrays_of_images(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    colour, grey = Preprocessing(size=9)(images), Preprocessing(size=9, channels=1)(images)
    assert colour.shape == (2, 3, 9, 9)
    assert grey.shape == (2, 1, 9, 9)
    expected = images[:, None] if len(shape) == 3 else images
    np.testing.assert_array_equal(colour, np.broadcast_to(expected, (2, 3, 9, 9)))
    if 3 not in shape:
        np.testing.assert_array_equal(grey, expected.reshape(2, 1, 9, 9))


def test_grey_networks_take_the_mean_of_mean_and_deviation():
    got = TORCH.at(8, channels=1)(np.full((1, 8, 8), 128, np.uint8))
    assert got[0, 0, 0, 0] == pytest.approx((128 / 255 - 0.449) / 0.226, abs=1e-5)


def test_another_size_is_cut_out_in_the_same_proportion():
    assert (TORCH.at(112).size, TORCH.at(112).resize) == (112, 128)
    assert Preprocessing(size=32).at(48).resize is None


def test_no_images_give_no_images():
    assert TORCH([]).shape == (0, 3, 224, 224)
    assert TORCH(np.zeros((0, 28, 28), np.uint8)).shape == (0, 3, 224, 224)


@pytest.mark.parametrize(
    ("images", "error", "text"),
    [
        (np.zeros((2, 8, 8)), DTypeError, "preprocess: images must be uint8 in 0 .. 255, got float64"),
        ([np.zeros((8, 8, 3))], DTypeError, "preprocess: each image must be uint8 in 0 .. 255, got float64"),
        (np.zeros((2, 8, 8, 3), np.uint8), ShapeError, r"got \(2, 8, 8, 3\): put the channels first"),
        (np.zeros((2, 2, 8, 8), np.uint8), ShapeError, r"\(N, H, W\) or \(N, 1 or 3, H, W\), got \(2, 2, 8, 8\)"),
        ([np.zeros((8, 8, 4), np.uint8)], ShapeError, r"each image must have shape \(H, W\) or \(H, W, 3\), got"),
        (["photo.jpg"], DTypeError, "preprocess: each image must be a Pillow image or a uint8 array, got str"),
        (7, DTypeError, "preprocess: images must be an array or a sequence of images, got int"),
        ([np.zeros((0, 8, 3), np.uint8)], ShapeError, "preprocess: each image must have at least one pixel"),
    ],
)
def test_what_is_no_image_is_refused(images, error, text):
    with pytest.raises(error, match=text):
        TORCH(images)


def test_a_network_for_five_channels_has_no_preprocessing():
    with pytest.raises(OptionError, match=r"preprocess: in_channels must be 1 \(grey\) or 3 \(colour\), got 5"):
        TORCH.at(8, channels=5)([PHOTO])
