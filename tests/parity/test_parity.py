"""Our networks beside the code that published weights come from: the same weights, the same numbers."""

from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import pytest

import minicnn
from parity.originals import CASES
from parity.seeded import seeded_images, seeded_model

MISSING = [package for package in ("torch", "torchvision", "timm", "keras") if find_spec(package) is None]
pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (CONTRIBUTING.md, add a network)"),
]


@contextmanager
def without_winograd():
    minicnn.set_winograd(False)
    try:
        yield
    finally:
        minicnn.set_winograd(True)


every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
def test_logits_and_gradients_are_those_of_the_original(case):
    model = seeded_model(case.options)
    original = case.original()
    original.take(model)

    images = seeded_images(2, model.size)
    theirs = original.logits(images)
    model.eval()
    with minicnn.no_grad():
        fast = model(images).numpy()
        with without_winograd():
            exact = model(images).numpy()
    assert np.abs(exact - theirs).max() <= 1e-4 * theirs.std()
    assert np.abs(fast - theirs).max() <= 1e-3 * theirs.std()
    for ours in (exact, fast):
        np.testing.assert_array_equal(ours.argsort(1)[:, -5:], theirs.argsort(1)[:, -5:])

    # In float64: in float32 a ReLU may be on for one side and off for the other, which is no error of either.
    model.astype("float64").train(original.trains)
    images = seeded_images(original.images, case.size).astype("float64")
    labels = np.array([3, 17])[: original.images]
    with without_winograd():
        model.form.loss(model(images), labels).backward()
    weight = model.form.loss.keywords["aux_weight"] if getattr(model, "aux", False) else 0.0
    gradients = list(original.gradients(model, images, labels, weight))
    assert {id(p) for p, _ in gradients} == {id(p) for p in model.parameters()}
    largest = max(np.linalg.norm(gradient) for _, gradient in gradients)
    for parameter, gradient in gradients:
        # A bias before a norm that takes the mean away has no gradient but rounding.
        size = max(np.linalg.norm(gradient), 1e-6 * largest)
        assert np.linalg.norm(parameter.grad.numpy() - gradient) <= 1e-8 * size
