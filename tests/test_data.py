import gzip
import struct
import tracemalloc

import numpy as np
import pytest

import minicnn.errors
from minicnn.data import ArrayDataset, Loader, load_digits, load_mnist, read_idx
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


# --------------------------------------------------------------------------------------------- what is done to images


def noisy(image, rng):
    return image + rng.normal(size=image.shape)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_image_gets_its_numbers_by_seed_epoch_and_row_alone(workers, shuffle):
    plain = dict.fromkeys(range(23))
    for images, labels in Loader(numbered(23), 5, seed=3, transform=noisy).batches(2):
        plain.update(zip(labels.tolist(), images, strict=True))
    loader = Loader(numbered(23), 4, seed=3, transform=noisy, workers=workers, shuffle=shuffle)
    for images, labels in loader.batches(2, start=1):
        for image, label in zip(images, labels, strict=True):
            np.testing.assert_array_equal(image, plain[int(label)])
    others = next(Loader(numbered(23), 23, seed=3, transform=noisy).batches(3))[0]
    assert (others != np.stack(list(plain.values()))).all()


def test_workers_change_neither_order_nor_mixing():
    def mix(images, labels, rng):
        return images + rng.normal(), labels

    options = {"shuffle": True, "seed": 9, "transform": noisy, "mix": mix}
    alone, together = (list(Loader(numbered(30), 7, workers=n, **options).batches(4)) for n in (0, 2))
    for (images, labels), (others, other_labels) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(labels, other_labels)


def test_workers_read_ahead_and_stop_when_nobody_wants_more():
    seen = []

    def watched(image, rng):
        seen.append(int(image[0, 0]))
        return image

    batches = Loader(numbered(1000), 10, transform=watched, workers=2).batches(0)
    next(batches)
    batches.close()
    assert 10 <= len(seen) <= 40


def test_an_error_in_a_worker_reaches_the_reader():
    def broken(image, rng):
        if image[0, 0] == 7:
            raise LoadError("seven.jpg", "is broken")
        return image

    for workers in (0, 2):
        with pytest.raises(LoadError, match=r"seven.jpg: is broken"):
            list(Loader(numbered(20), 4, transform=broken, workers=workers).batches(0))


def test_images_of_several_sizes_make_no_batch():
    def cut(image, rng):
        return image[:, : 1 + rng.integers(2)]

    data = ArrayDataset(np.zeros((9, 4, 4), np.uint8), np.arange(9))
    with pytest.raises(
        ShapeError, match=r"transform must make all images of a batch of one shape, got \(4, 1\), \(4, 2\)"
    ):
        list(Loader(data, 9, transform=cut))


@pytest.mark.parametrize("counts", [(20, 3, 1), (5, 5), (1, 0, 7)])
def test_a_balanced_epoch(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    loader = Loader(ArrayDataset(np.arange(len(labels)), labels), 4, balanced=True, shuffle=True, seed=1)
    there = [label for label, count in enumerate(counts) if count]
    orders = [loader.order(epoch) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        drawn = np.bincount(labels[order], minlength=len(counts))[there]
        assert drawn.sum() == len(labels)
        assert drawn.max() - drawn.min() <= 1
        for label in there:  # all of a class come before one comes again
            times = np.bincount(order[labels[order] == label], minlength=len(labels))[labels == label]
            assert times.max() - times.min() <= 1


def test_part_of_a_set():
    data = numbered(10).only([3, 5])
    assert data.labels.tolist() == [3, 5]
    assert len(numbered(10).only([])) == 0
    assert numbered(10).digest() == numbered(10).digest() != data.digest()
