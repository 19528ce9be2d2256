"""A sheet of what each augmentation makes of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from minicnn.data import augmentation as A
from minicnn.data.pictures import read_photo
from minicnn.inspect.pictures import check_ending
from minicnn.inspect.sheets import draw_sheet

SIDE = 224  # of the longer side, as far as it matters
DRAWS = 2

EXAMPLES: dict[str, Any] = {
    "Flip": A.Flip(p=1), "PadAndCrop 28": A.PadAndCrop(28), "RandomResizedCrop": A.RandomResizedCrop(SIDE),
    "Rotate 30": A.Rotate(30), "Translate 0.2": A.Translate(0.2), "Shear 20": A.Shear(20), "Zoom 0.5": A.Zoom(0.5),
    "Affine": A.Affine(20, 0.1, 0.2, 10), "Perspective 0.4": A.Perspective(0.4), "Elastic": A.Elastic(400, 12),
    "Brightness 0.6": A.Brightness(0.6), "Contrast 0.8": A.Contrast(0.8), "Saturation 0.9": A.Saturation(0.9),
    "Hue 0.3": A.Hue(0.3), "ColourJitter": A.ColourJitter(0.4, 0.4, 0.4, 0.1), "PCANoise 0.5": A.PCANoise(0.5),
    "Grey": A.Grey(1), "Blur 4": A.Blur(4), "Noise 0.2": A.Noise(0.2), "Sharpness 3": A.Sharpness(3),
    "Posterize 3": A.Posterize(1, 3), "Solarize": A.Solarize(1), "Invert": A.Invert(1),
    "AutoContrast": A.AutoContrast(1), "Equalize": A.Equalize(1), "Cutout 0.4": A.Cutout(0.4),
    "RandomErasing": A.RandomErasing(1), "RandAugment 2, 9": A.RandAugment(), "TrivialAugment": A.TrivialAugment(),
    "imagenet": A.imagenet(SIDE),
}  # fmt: skip
SURE = ("Flip", "Grey", "Posterize 3", "Solarize", "Invert", "AutoContrast", "Equalize")  # draws do not differ


def draw_augmentations(picture: str | Path, path: str | Path, *, seed: int = 0) -> int:
    """Draw a picture and what every augmentation makes of it into a file.

    Mixup and cutmix, which need a second picture, take the mirror image, upside down.

    Parameters
    ----------
    picture : path
        The picture.
    path : path
        The file to write: .png, .jpg, .svg or .pdf.
    seed : int
        Of all random numbers.

    Returns
    -------
    int
        How many augmentations are shown.

    Raises
    ------
    LoadError
        If the picture cannot be read.
    OptionError
        If the file's ending is unknown.
    SaveError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile, PIL.Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PIL.Image.new("RGB", (64, 48), "orange").save(f"{folder}/a.png")
    ...     count = draw_augmentations(f"{folder}/a.png", f"{folder}/sheet.png")
    ...     "sheet.png" in os.listdir(folder), count == len(EXAMPLES) + 2
    (True, True)
    """
    check_ending(path)
    photo = read_photo(picture)
    photo.thumbnail((2 * SIDE, 2 * SIDE))
    image = np.asarray(photo).transpose(2, 0, 1)
    images, captions = [image], ["the picture"]
    for place, (name, change) in enumerate(EXAMPLES.items()):
        for draw in range(1 if name in SURE else DRAWS):
            images.append(change(image, np.random.default_rng([seed, place, draw])))
            captions.append(name)
    batch = np.stack([image] + 7 * [image[:, ::-1, ::-1]])  # each gets a partner by lot, now and then itself
    mixes: dict[str, Any] = {"Mixup 1": A.Mixup(2, 1.0), "CutMix 1": A.CutMix(2, 1.0)}
    for place, (name, mix) in enumerate(mixes.items()):
        for draw in range(DRAWS):
            mixed, shares = mix(batch, np.array([0] + 7 * [1]), np.random.default_rng([seed, 100 + place, draw]))
            images.append(mixed[0])
            captions.append(f"{name}\nlabels {shares[0, 0]:.2f}, {shares[0, 1]:.2f}")
    draw_sheet(images, captions, path)
    return len(EXAMPLES) + len(mixes)
