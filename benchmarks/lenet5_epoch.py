"""An epoch of LeNet-5 on MNIST, beside the same network in PyTorch, in one process.

Both train the modern form at batch 64 with the same optimiser, from the same first weights, on the same batches. They
take turns of some steps each, so that whatever else the machine does hits both. Needs `pip install torch==2.13.0`.

    python benchmarks/lenet5_epoch.py --data-dir ../shared/data/mnist --threads 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import count, islice

import numpy as np
import torch

import minicnn
from measure import alternate
from minicnn import data, models, train

TURN = 67  # steps; 14 turns are an epoch


def torch_twin(model: models.lenet5.LeNet5) -> torch.nn.Module:
    layers = torch.nn
    net = layers.Sequential(
        layers.Conv2d(1, 6, 5), layers.ReLU(), layers.MaxPool2d(2), layers.Conv2d(6, 16, 5), layers.ReLU(),
        layers.MaxPool2d(2), layers.Conv2d(16, 120, 5), layers.ReLU(), layers.Flatten(), layers.Linear(120, 84),
        layers.ReLU(), layers.Linear(84, 10),
    )  # fmt: skip
    for theirs, ours in zip(net.parameters(), model.parameters(), strict=True):
        theirs.data = torch.tensor(ours.numpy())
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", required=True, help="folder of the four MNIST idx files")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    minicnn.set_num_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    minicnn.manual_seed(0)

    training, test = data.load_mnist(arguments.data_dir)
    model = models.create("lenet5", form="modern")
    theirs = torch_twin(model)
    our_optimizer = train.SGD(model.parameters(), lr=0.05, momentum=0.9)
    their_optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9)

    def our_step(images, labels) -> float:
        loss = model.form.loss(model(images), labels)
        our_optimizer.zero_grad()
        loss.backward()
        our_optimizer.step()
        return loss.item()

    def their_step(images, labels) -> float:
        loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(images)), torch.from_numpy(labels))
        their_optimizer.zero_grad()
        loss.backward()
        their_optimizer.step()
        return loss.item()

    batches = [
        (model.form.preprocess(images), np.asarray(labels, np.int64))
        for images, labels in data.Loader(training, 64, shuffle=True)
    ]
    their_step(*batches[0]), our_step(*batches[0])  # compile, warm up

    def turns(name: str, step: Callable[..., float]) -> Callable[[], Callable[[], None]]:
        """Go through the batches, some steps a turn, and say now and then how the loss does."""
        left = iter(batches)
        done = count()

        def turn() -> None:
            losses = [step(*batch) for batch in islice(left, TURN)]
            if (number := next(done)) % 5 == 0:
                print(f"step {TURN * (number + 1):4d}  {name} loss {np.mean(losses):.4f}", flush=True)

        return lambda: turn

    sides = {"minicnn": turns("minicnn", our_step), "torch": turns("torch", their_step)}
    seconds = {
        name: 1e-9 * np.array(taken)
        for name, taken in alternate(sides, -(-len(batches) // TURN), time.perf_counter_ns).items()
    }
    ratios = seconds["torch"] / seconds["minicnn"]
    for name, taken in seconds.items():
        print(f"{name:8s} {taken.sum():6.2f} s an epoch, {1e3 * taken.sum() / len(batches):.2f} ms a step of 64")
    middle, low, high = np.median(ratios), ratios.min(), ratios.max()
    print(f"torch / minicnn: {middle:.2f} (median of {len(ratios)} turns, {low:.2f} .. {high:.2f})")
    accuracy = train.evaluate(model, data.Loader(test, 500))["accuracy"]
    print(f"test accuracy of minicnn's after this epoch: {100 * accuracy:.2f} %, {arguments.threads} threads")


if __name__ == "__main__":
    main()
