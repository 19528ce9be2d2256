"""Images that look alike."""

import io

import numpy as np
import PIL.Image
import pytest

from minicnn.data import near_duplicates


def scene(seed, h=60, w=80):
    """A picture with large and small structures, as photos have."""
    rng = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((w, h), PIL.Image.Resampling.BICUBIC)
    return np.asarray(coarse).transpose(2, 0, 1)


def jpeg(image, quality):
    file = io.BytesIO()
    PIL.Image.fromarray(image.transpose(1, 2, 0)).save(file, "jpeg", quality=quality)
    return np.asarray(PIL.Image.open(file)).transpose(2, 0, 1)


def smaller(image):
    return np.asarray(PIL.Image.fromarray(image.transpose(1, 2, 0)).resize((50, 40))).transpose(2, 0, 1)


COPIES = {
    "the same": lambda image: image,
    "compressed": lambda image: jpeg(image, 30),
    "smaller": smaller,
    "brighter": lambda image: np.minimum(image.astype(int) + 20, 255).astype(np.uint8),
    "grey": lambda image: np.asarray(PIL.Image.fromarray(image.transpose(1, 2, 0)).convert("L")),
}


@pytest.mark.parametrize("copy", COPIES)
def test_copies_are_found_and_others_are_not(copy):
    images = [scene(seed) for seed in range(12)]
    assert near_duplicates(images) == []
    assert near_duplicates([*images, COPIES[copy](images[5])]) == [(5, 12)]


def test_flat_images_are_copies_only_if_they_are_equal():
    grey, white, noise = (np.full((9, 9), level, np.uint8) for level in (100, 255, 101))
    assert near_duplicates([grey, white, noise, grey]) == [(0, 3)]


def test_blocks_of_hashes(monkeypatch):
    from minicnn.data import duplicates

    images = [scene(seed % 9) for seed in range(20)]
    whole = near_duplicates(images)
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    assert near_duplicates(images) == whole
    assert whole == sorted((i, j) for j in range(20) for i in range(j) if i % 9 == j % 9)


def test_few_images():
    assert near_duplicates([]) == near_duplicates([scene(0)]) == []
