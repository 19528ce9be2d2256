import gzip
import struct
import tracemalloc

import numpy as np
import pytest

import minicnn.errors
from minicnn.data import ArrayDataset, Loader, RandomShift, load_digits, load_mnist, read_idx
from minicnn.errors import DTypeError, LoadError, MissingExtraError, OptionError, ShapeError


def idx(*shape, items=None, code=8):
    header = bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    return header + (bytes(range(int(np.prod(shape)) % 256)) if items is None else items)


# --------------------------------------------------------------------------------------------- idx files


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("code", "dtype"), [(8, "u1"), (9, "i1"), (0xB, "i2"), (0xC, "i4"), (0xD, "f4"), (0xE, "f8")])
def test_idx_round_trip(tmp_path, pack, code, dtype):
    values = np.arange(-6, 18).reshape(2, 3, 4).astype(dtype)
    big_endian = values.astype(np.dtype(dtype).newbyteorder(">")).tobytes()
    (tmp_path / "x").write_bytes(pack(idx(2, 3, 4, items=big_endian, code=code)))
    array = read_idx(tmp_path / "x")
    assert array.dtype == dtype
    assert array.dtype.isnative
    assert array.flags.writeable
    np.testing.assert_array_equal(array, values)


BROKEN = {
    "empty": (b"", "empty"),
    "3 bytes": (b"\0\0\x08", "truncated: an idx file starts with 4 bytes, found 3"),
    "wrong magic": (b"\x89PNG" + bytes(100), "not an idx file"),
    "wrong type": (idx(2, code=7), "unknown element type 0x07"),
    "no axes": (idx(), "number of axes"),
    "255 axes": (bytes([0, 0, 8, 255]) + bytes(4 * 255), "number of axes"),
    "header cut": (idx(5, 5)[:9], "2 sizes expected, found 5 bytes"),
    "absurd sizes": (idx(*[2**32 - 1] * 3, items=b"123"), "cannot hold them"),
    "one byte short": (idx(10)[:-1], "truncated"),
    "one byte long": (idx(10) + b"!", "too long"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_idx(tmp_path, name, pack):
    content, message = BROKEN[name]
    if content == b"" and pack is gzip.compress:
        message = "4 bytes, found 0"
    path = tmp_path / "broken"
    path.write_bytes(pack(content))
    with pytest.raises(LoadError, match=message) as caught:
        read_idx(path)
    assert caught.value.path == path


def test_broken_gzip(tmp_path):
    path = tmp_path / "x.gz"
    whole = gzip.compress(idx(200, 200, items=np.random.default_rng(0).bytes(40_000)))
    for end in (3, 11, 20_000, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(LoadError, match=r"truncated|corrupt"):
            read_idx(path)
    flipped = bytearray(whole)
    flipped[20_000] ^= 16
    path.write_bytes(flipped)
    with pytest.raises(LoadError, match=r"corrupt gzip stream"):
        read_idx(path)


@pytest.mark.parametrize("claim", [1000, 300 * 2**20])
def test_a_bomb_is_not_unpacked(tmp_path, claim):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx(claim, items=bytes(300 * 2**20)), compresslevel=1))
    tracemalloc.start()
    with pytest.raises(LoadError, match="too long" if claim == 1000 else "cannot hold them"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_no_such_file_and_a_folder(tmp_path):
    with pytest.raises(LoadError, match="No such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(LoadError, match="cannot be read"):
        read_idx(tmp_path)


@pytest.fixture
def mnist(tmp_path):
    for part, n in (("train", 6), ("t10k", 3)):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(n, 2, 2, items=bytes(range(4 * n))))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(n, items=bytes(range(n)))))
    return tmp_path


def test_mnist(mnist):
    train, test = load_mnist(mnist)
    assert train.images.shape == (6, 2, 2)
    assert test.images[1].tolist() == [[4, 5], [6, 7]]
    assert train.labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(5, 2, 2), "6 labels for the 5 images"),
        ("train-images-idx3-ubyte", idx(0, 2, 2), "no items"),
        ("train-images-idx3-ubyte", idx(6, items=bytes(6)), r"shape \(N, H, W\)"),
        ("train-labels-idx1-ubyte.gz", idx(6, items=bytes([0, 1, 250, 3, 4, 5])), "found 250 .at item 2"),
        ("train-labels-idx1-ubyte.gz", idx(6, items=bytes(24), code=0xC), "must hold bytes"),
    ],
)
def test_mnist_that_does_not_fit_together(mnist, name, content, message):
    (mnist / name).write_bytes(content)
    with pytest.raises(LoadError, match=message):
        load_mnist(mnist)


def test_mnist_without_a_file(mnist):
    (mnist / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(LoadError, match="t10k-images-idx3-ubyte: no such file"):
        load_mnist(mnist)


# --------------------------------------------------------------------------------------------- digits


def test_digits_are_split_by_class_and_always_alike():
    (train, test), (_, again) = load_digits(), load_digits()
    assert len(train) + len(test) == 1797
    np.testing.assert_array_equal(test.images, again.images)
    shares = np.bincount(train.labels) / len(train) - np.bincount(test.labels) / len(test)
    assert np.abs(shares).max() < 1 / len(test)
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}


def test_digits_still_look_like_themselves_when_enlarged():
    (train, _), (small, _) = load_digits(), load_digits(8)
    assert small.images.shape == (1437, 8, 8)
    assert small.images.max() == 255
    shrunk = train.images.reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    likeness = np.corrcoef(shrunk.reshape(1437, 64)[:300], small.images.reshape(1437, 64)[:300])[:300, 300:]
    np.testing.assert_array_equal(likeness.argmax(axis=1), np.arange(300))


def test_a_missing_extra_says_how_to_get_it(monkeypatch):
    def absent(module):
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr(minicnn.errors.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match=r"load_digits needs the package sklearn: pip install 'minicnn\[all\]'"):
        load_digits()


# --------------------------------------------------------------------------------------------- loader


def numbered(n):
    return ArrayDataset(np.arange(n, dtype=np.float32).reshape(n, 1, 1), np.arange(n))


def test_every_image_once_an_epoch_in_an_order_of_seed_and_epoch():
    def order(seed, epoch):
        batches = list(Loader(numbered(10), 4, shuffle=True, seed=seed).batches(epoch))
        assert [len(labels) for _, labels in batches] == [4, 4, 2]
        for images, labels in batches:
            np.testing.assert_array_equal(images[:, 0, 0], labels)
        return tuple(np.concatenate([labels for _, labels in batches]).tolist())

    orders = {(seed, epoch): order(seed, epoch) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert all(sorted(values) == list(range(10)) for values in orders.values())
    assert order(2, 1) == orders[2, 1]


def test_resuming_in_the_middle_of_an_epoch():
    loader = Loader(numbered(23), 4, shuffle=True, seed=5, transform=lambda x, rng: x + rng.normal(size=x.shape))
    whole = list(loader.batches(7))
    for start in range(len(whole) + 1):
        rest = list(loader.batches(7, start))
        assert len(rest) == len(whole) - start
        for (images, labels), (images_before, labels_before) in zip(rest, whole[start:], strict=True):
            np.testing.assert_array_equal(images, images_before)
            np.testing.assert_array_equal(labels, labels_before)


def test_iterating_goes_through_the_epochs():
    loader = Loader(numbered(9), 9, shuffle=True)
    first, second = next(iter(loader))[1], next(iter(loader))[1]
    np.testing.assert_array_equal(first, next(loader.batches(0))[1])
    np.testing.assert_array_equal(second, next(loader.batches(1))[1])


def test_no_images_and_a_batch_larger_than_the_data():
    assert len(Loader(numbered(0), 4)) == 0
    assert list(Loader(numbered(0), 4, shuffle=True)) == []
    ((images, labels),) = Loader(numbered(3), 64)
    assert images.shape == (3, 1, 1)
    assert labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 2.0}, {"seed": -1}, {"batch_size": True}])
def test_options_of_the_loader(options):
    with pytest.raises(OptionError, match=f"Loader: {next(iter(options))} must be an integer"):
        Loader(numbered(3), **options)


def test_labels_must_belong_to_the_images():
    with pytest.raises(ShapeError, match=r"got \(2,\) for \(3, 4, 4\)"):
        ArrayDataset(np.zeros((3, 4, 4)), [1, 2])
    with pytest.raises(DTypeError, match="integers, got float64"):
        ArrayDataset(np.zeros((2, 4, 4)), [1.0, 2.0])


# --------------------------------------------------------------------------------------------- augmentation


@pytest.mark.parametrize("channels", [(), (3,)])
def test_random_shift(channels):
    images = np.random.default_rng(0).integers(1, 256, (40, *channels, 6, 5)).astype(np.uint8)
    kept = images.copy()
    shifted = RandomShift(2)(images, np.random.default_rng(1))
    np.testing.assert_array_equal(images, kept)
    assert shifted.shape == images.shape
    assert shifted.dtype == np.uint8
    moves = set()
    for image, result in zip(images, shifted, strict=True):
        fits = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                expected = np.zeros_like(image)
                for y in range(6):
                    for x in range(5):
                        if 0 <= y - down < 6 and 0 <= x - right < 5:
                            expected[..., y, x] = image[..., y - down, x - right]
                if (expected == result).all():
                    fits.append((down, right))
        (move,) = fits
        moves.add(move)
    assert {down for down, _ in moves} == {right for _, right in moves} == {-2, -1, 0, 1, 2}
    np.testing.assert_array_equal(RandomShift(0)(images, np.random.default_rng(1)), images)
    assert RandomShift(2)(images[:0], np.random.default_rng(1)).shape == (0, *channels, 6, 5)


@pytest.mark.parametrize("pixels", [-1, 1.5, True])
def test_random_shift_out_of_range(pixels):
    with pytest.raises(OptionError, match="RandomShift: pixels must be an integer >= 0"):
        RandomShift(pixels)
