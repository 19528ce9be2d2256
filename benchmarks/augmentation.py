"""The usual augmentation for ImageNet, one image at a time: ours, torchvision's (v2, on tensors) and Albumentations'.

``python benchmarks/augmentation.py``; beside it wants ``pip install '.[parity]' albumentations`` and torchvision (see
pyproject.toml). All three cut out a part of random size, bring it to 224 x 224, mirror it or not, and change
brightness, contrast, saturation and hue (0.4, 0.4, 0.4, 0.1) in random order, on bytes and one thread. Ours and
torchvision's resize with the mean over all pixels that fall together, as Pillow does; Albumentations' takes four
pixels, whatever the scale.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import measure
import minicnn
from minicnn.data import augmentation

SIZE = 224
IMAGES = {"224 x 224": (224, 224), "500 x 375": (375, 500)}
PARTS: dict[str, Any] = {
    "all of it": augmentation.imagenet(SIZE),
    "crop": augmentation.RandomResizedCrop(SIZE),
    "colours": augmentation.ColourJitter(0.4, 0.4, 0.4, 0.1),
}


def torchvision_parts() -> dict[str, Any]:
    """Return torchvision's three, or none if it is not installed."""
    try:
        import torch

        library = torch.library.Library("torchvision", "DEF")  # its CPU wheel lacks operators that it declares at once
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision.transforms.v2 as v2
    except ImportError:
        return {}
    torch.set_num_threads(1)
    crop, colours = v2.RandomResizedCrop(SIZE, antialias=True), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    everything = v2.Compose([crop, v2.RandomHorizontalFlip(), colours])
    everything.library = library  # it lives as long as this
    return {"all of it": everything, "crop": crop, "colours": colours}


def albumentations_parts() -> dict[str, Any]:
    """Return Albumentations' three, or none if it is not installed."""
    try:
        import albumentations as A
        import cv2
    except ImportError:
        return {}
    cv2.setNumThreads(0)
    crop = A.RandomResizedCrop((SIZE, SIZE), p=1)
    colours = A.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.6, 1.4), (-0.1, 0.1), p=1)
    everything = A.Compose([crop, A.HorizontalFlip(p=0.5), colours])
    return {"all of it": everything, "crop": crop, "colours": colours}


def sides(part: str, image: np.ndarray, peers: dict[str, dict[str, Any]]) -> dict[str, Callable[[], Any]]:
    """Return what each library does with an image (H, W, 3), as it lies in memory after reading."""
    rng, planes = np.random.default_rng(0), image.transpose(2, 0, 1)
    found: dict[str, Callable[[], Any]] = {"ours": lambda: PARTS[part](planes, rng)}
    if peers["torchvision"]:
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(planes))
        found["torchvision"] = lambda: peers["torchvision"][part](tensor)
    if peers["albumentations"]:
        found["albumentations"] = lambda: peers["albumentations"][part](image=image)
    return found


def compare(rounds: int = 300) -> list[tuple[str, str, dict[str, float]]]:
    """Return (part, image, microseconds of each library), medians of turns taken alternately."""
    minicnn.set_num_threads(1)
    peers = {"torchvision": torchvision_parts(), "albumentations": albumentations_parts()}
    now = time.thread_time_ns
    rows = []
    for title, (h, w) in IMAGES.items():
        image = np.random.default_rng(1).integers(0, 256, (h, w, 3), np.uint8)
        for part in PARTS:
            if part == "colours" and title != "224 x 224":
                continue
            runs = {name: (lambda run=run: run) for name, run in sides(part, image, peers).items()}
            measure.alternate(runs, 10, now)
            taken = measure.alternate(runs, rounds, now)
            rows.append((part, title, {name: median(turns) / 1000 for name, turns in taken.items()}))
    return rows


def main() -> None:
    """Print a row for each part and image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    print(f"{'':26s}{'ours':>10s}  their time / ours")
    for part, title, times in compare(parser.parse_args().rounds):
        ours = times.pop("ours")
        ratios = "  ".join(f"{name} {taken / ours:.2f}" for name, taken in times.items())
        print(f"{part:10s} of {title:12s} {ours:7.0f} us  {ratios}", flush=True)


if __name__ == "__main__":
    main()
