"""Pictures of digits: whatever the file, what comes out looks like the data set."""

import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from minicnn import data
from minicnn.data import read_digit
from minicnn.data.pictures import MOST_PIXELS
from minicnn.errors import LoadError, OptionError


def seven(height=120, width=90, ink=20, paper=230, dtype=np.uint8):
    """A 7 that stands in the upper left quarter: a bar, and a leg that leans."""
    picture = np.full((height, width), paper, dtype)
    top, size = height // 8, height // 2
    pen = size // 8
    picture[top : top + pen, width // 8 : width // 8 + size // 2] = ink
    for y in range(size):
        x = width // 8 + size // 2 - pen - y // 4
        picture[top + y, x : x + pen] = ink
    return picture


SEVEN = seven()


def similarity(a, b):
    return np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1]


@pytest.fixture
def read(tmp_path):
    """Save a picture and read it back as a digit."""

    def save_and_read(picture, name="seven.png", like="mnist", **options):
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        image.save(tmp_path / name, **options)
        return read_digit(tmp_path / name, like=like)

    return save_and_read


@pytest.fixture
def expected(read):
    return read(SEVEN)


def test_a_digit_lies_where_mnist_has_it(expected):
    assert expected.dtype == np.uint8
    assert expected.shape == (28, 28)
    rows, columns = np.nonzero(expected > 127)
    assert np.ptp(rows) + 1 == 20  # the longer side of the box
    assert np.ptp(columns) + 1 < 20
    centre = [np.average(np.indices((28, 28))[axis], weights=expected) for axis in (0, 1)]
    assert np.abs(np.subtract(centre, 14)).max() <= 0.6  # whole pixels: at most half a pixel away
    assert expected.max() == 255
    assert expected[0].max() == 0


def test_a_digit_lies_where_scikit_learn_has_it(read):
    digit = read(SEVEN, like="digits")
    assert digit.shape == (32, 32)
    rows, columns = np.nonzero(digit > 127)
    assert np.ptp(rows) + 1 >= 28  # as high as the field
    assert abs((columns.min() + columns.max()) / 2 - 15.5) < 2
    assert digit.max() == 255


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_every_kind_of_file(read, expected, kind):
    assert similarity(read(SEVEN, f"seven.{kind.lower()}"), expected) > 0.98


def test_white_on_black_is_the_same_as_black_on_white(read, expected):
    assert similarity(read(255 - SEVEN), expected) > 0.999
    assert similarity(read((100 + SEVEN / 5).astype(np.uint8)), expected) > 0.99  # pale


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "YCbCr"])
def test_every_mode_of_pixels(read, expected, mode):
    picture = Image.fromarray(SEVEN)
    picture = picture.convert("1", dither=Image.Dither.NONE) if mode == "1" else picture.convert(mode)
    assert similarity(read(picture, "seven.tiff" if mode in ("CMYK", "YCbCr") else "seven.png"), expected) > 0.98


@pytest.mark.parametrize(
    ("dtype", "ink", "paper"),
    [(np.uint16, 3000, 60000), (np.uint16, 100, 4000), (np.int32, 5, 200_000), (np.float32, 0.1, 0.9)],
)
def test_more_than_eight_bits(read, expected, dtype, ink, paper):
    """convert("L") would cut off the upper bits and show a white sheet."""
    wide = seven(ink=ink, paper=paper, dtype=dtype)
    assert similarity(read(wide, "seven.tiff"), expected) > 0.98
    if dtype == np.uint16:
        assert similarity(read(wide, "seven.png"), expected) > 0.98


def test_values_that_are_no_numbers_are_no_ink(read, expected):
    wide = seven(ink=0.9, paper=0.1, dtype=np.float32)
    wide[-3:, -3:] = np.nan
    assert similarity(read(wide, "seven.tiff"), expected) > 0.98


@pytest.mark.parametrize("ink", [0, 255])
def test_transparent_paper(read, expected, ink):
    """Black ink shows on white paper; white ink would not, so its paper is black."""
    layer = np.zeros((*SEVEN.shape, 4), np.uint8)
    layer[..., :3] = ink
    layer[..., 3] = np.where(SEVEN < 100, 255, 0)
    assert similarity(read(layer), expected) > 0.98
    palette = Image.fromarray(np.where(SEVEN < 100, 1, 0).astype(np.uint8), mode=None).convert("P")
    palette.putpalette([128, 128, 128, ink, ink, ink])
    assert similarity(read(palette, transparency=0), expected) > 0.98


def test_a_camera_that_was_held_upright(read, expected):
    turned = Image.fromarray(np.rot90(SEVEN))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it"
    assert similarity(read(turned, "seven.jpg", exif=exif, quality=95), expected) > 0.97


def test_the_first_frame_of_an_animation(read, expected):
    frames = [Image.fromarray(np.full_like(SEVEN, 230)), Image.fromarray(SEVEN.T)]
    digit = read(Image.fromarray(SEVEN), "seven.gif", save_all=True, append_images=frames)
    assert similarity(digit, expected) > 0.98


def test_a_speck_of_dirt_does_not_move_the_digit(read, expected):
    dirty = SEVEN.copy()
    dirty[110:112, 80:82] = 0
    assert similarity(read(dirty), expected) > 0.98


def test_size_does_not_matter(read, expected):
    assert similarity(read(seven(2400, 1800)), expected) > 0.95
    assert similarity(read(seven(40, 30)), expected) > 0.8


@pytest.mark.parametrize("shape", [(300, 6), (6, 300), (40, 40)])
def test_a_stroke_of_any_proportion_fits(read, shape):
    picture = np.full((320, 320), 255, np.uint8)
    picture[10 : 10 + shape[0], 10 : 10 + shape[1]] = 0
    for like in ("mnist", "digits"):
        assert read(picture, like=like).max() > 230


def test_a_picture_from_the_data_set_is_taken_as_it_is(read):
    _, test = data.load_digits()
    for image in test.images:
        np.testing.assert_array_equal(read(image, like="digits"), image)


def test_digits_copied_onto_paper_come_back(read):
    """The data set's own digits, enlarged, black on grey paper, out of the middle: they return nearly as they were."""
    _, test = data.load_digits()
    alike = []
    for image in test.images[:40]:
        big = np.asarray(Image.fromarray(image).resize((200, 200), Image.Resampling.BICUBIC)).astype(int)
        paper = np.full((420, 330), 200)
        paper[150:350, 60:260] -= big * 3 // 4
        alike.append(similarity(read(paper.clip(0, 255).astype(np.uint8), like="digits"), image))
    assert np.median(alike) > 0.95
    assert np.quantile(alike, 0.1) > 0.85  # a faint end may be lost, and the rest then fills the box


# ----------------------------------------------------------------------------------------- what is refused


def png_of_size(width, height):
    """A PNG whose header claims a size; its pixels are missing."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.png", b"", "not an image of a known kind"),
        ("text.jpg", b"dear diary", "not an image of a known kind"),
        ("page.png", b"<!DOCTYPE html><html>", "not an image of a known kind"),
        ("program.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image of a known kind"),
        ("large.png", png_of_size(10_000, 6_000), f"10000 x 6000 pixels are too many, at most {MOST_PIXELS:,}"),
        ("larger.png", png_of_size(12_000, 12_000), "12000 x 12000 pixels are too many"),
        ("bomb.png", png_of_size(2**31 - 1, 2**31 - 1), "too many pixels"),
        ("hollow.png", png_of_size(50, 50), "damaged"),
        ("flat.png", png_of_size(0, 50), "not an image|damaged|shows no ink"),
    ],
)
def test_a_file_that_is_no_picture(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadError, match=text) as caught:
        read_digit(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp", "tiff", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_picture_that_breaks_off(tmp_path, kind, share):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    path = tmp_path / f"cut.{kind}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(LoadError, match=r"damaged|not an image"):
        read_digit(path)


def test_flipped_bytes_are_an_error_or_a_picture_never_a_crash(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("png", "jpg", "gif", "bmp", "tiff", "webp", "ppm"):
        path = tmp_path / f"noisy.{kind}"
        Image.fromarray(SEVEN).save(path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(30):
            broken = whole.copy()
            broken[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(broken.tobytes())
            with suppress(LoadError):
                assert read_digit(path).shape == (28, 28)


@pytest.mark.parametrize("picture", [SEVEN * 0 + 200, SEVEN // 100 + 100, np.zeros((1, 1), np.uint8)])
def test_a_sheet_without_ink(read, picture):
    with pytest.raises(LoadError, match="shows no ink"):
        read(picture)


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        read_digit(tmp_path / "nowhere.png")
    with pytest.raises(LoadError, match="cannot be read: Is a directory"):
        read_digit(tmp_path)
    with pytest.raises(OptionError, match="like must be one of 'mnist', 'digits', got 'letters'"):
        read_digit(tmp_path, like="letters")
