"""Photos of every kind: what the network sees is what a person does, and what cannot be seen is told."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn.data import read_photo
from minicnn.data.pictures import MOST_PIXELS
from minicnn.errors import LoadError

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)


@pytest.fixture
def read(tmp_path):
    """Save a Pillow image and read it as a photo."""

    def save_and_read(picture, name="a.png", upright=True, **options):
        picture.save(tmp_path / name, **options)
        photo = read_photo(tmp_path / name, upright=upright)
        assert photo.mode == "RGB"
        return np.asarray(photo)

    return save_and_read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG"])
def test_every_kind_of_file(read, kind):
    exact = kind not in ("JPEG", "WEBP")
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    seen = read(Image.fromarray(COLOURS), f"a.{kind.lower()}", **options)
    assert np.abs(seen.astype(int) - COLOURS).max() <= (0 if exact or kind == "WEBP" else 25)


def test_grey_becomes_three_equal_channels(read):
    grey = COLOURS[:, :, 0]
    np.testing.assert_array_equal(read(Image.fromarray(grey)), np.stack([grey] * 3, 2))


def test_sixteen_bits_are_scaled_and_not_cut_off(read):
    deep = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    np.testing.assert_allclose(read(Image.fromarray(deep))[..., 0], deep / 257, atol=0.51)


def test_floating_point_is_stretched(read):
    values = np.linspace(-1, 3, 64, dtype=np.float32).reshape(8, 8)
    seen = read(Image.fromarray(values), "a.tiff")
    assert (seen[0, 0, 0], seen[-1, -1, 0]) == (0, 255)


def test_transparent_parts_are_white_paper(read):
    layer = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 255, np.uint8)])
    layer[:32, :, 3] = 0
    seen = read(Image.fromarray(layer))
    assert (seen[:32] == 255).all()
    np.testing.assert_array_equal(seen[32:], COLOURS[32:])
    shadow = Image.merge("LA", [Image.new("L", (4, 4), grey) for grey in (0, 128)])  # black, half transparent
    assert np.abs(read(shadow).astype(int) - 127).max() <= 1


def test_palettes(read):
    few = Image.fromarray(COLOURS).quantize(24)
    np.testing.assert_array_equal(read(few), np.asarray(few.convert("RGB")))
    few.info["transparency"] = int(np.asarray(few)[0, 0])
    assert (read(few, "b.png", transparency=few.info["transparency"])[0, 0] == 255).all()


def test_cmyk(read):
    ink = Image.fromarray(COLOURS).convert("CMYK")
    seen = read(ink, "a.jpg", quality=95)
    assert np.abs(seen.astype(int) - COLOURS).mean() < 12


def test_bilevel_and_one_pixel(read):
    assert read(Image.fromarray(np.eye(8) > 0)).max() == 255
    assert read(Image.new("RGB", (1, 1), (1, 2, 3))).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_way_up_that_the_camera_says(read, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = read(Image.fromarray(COLOURS), exif=exif, upright=False)
    np.testing.assert_array_equal(stored, COLOURS)
    turned = read(Image.fromarray(COLOURS), exif=exif)
    rotate = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    mirrored = COLOURS if orientation in (1, 3, 6, 8) else COLOURS[:, ::-1]
    np.testing.assert_array_equal(turned, np.rot90(mirrored, rotate))


def test_the_first_frame_of_an_animation(read):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    seen = read(frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert (seen == (255, 0, 0)).all()


def png_of(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


WRONG = {
    "empty": (b"", "not an image of a known kind"),
    "text": (b"hello", "not an image of a known kind"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known kind"),
    "too many pixels": (png_of(MOST_PIXELS // 5000 + 1, 5000), "pixels are too many"),
    "far too many pixels": (png_of(20_000, 20_000), "too many pixels, at most 50,000,000 are read"),
    "absurdly many pixels": (png_of(2**31 - 1, 2**31 - 1), ""),
    "no width": (png_of(0, 5), ""),
    "too few rows": (png_of(4000, 4000), "damaged"),
}


@pytest.mark.parametrize(("data", "saying"), WRONG.values(), ids=WRONG)
def test_files_that_are_no_pictures(tmp_path, data, saying):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(LoadError) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    assert saying in str(caught.value)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "tiff"])
def test_a_picture_that_is_cut(tmp_path, kind):
    Image.fromarray(COLOURS).save(tmp_path / "whole", kind)
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    with pytest.raises(LoadError, match=r"damaged|not an image"):
        read_photo(tmp_path / "cut")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        read_photo(tmp_path / "absent.png")
