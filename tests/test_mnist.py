"""The real MNIST, where it is there: read, and learnt by both forms of LeNet-5 from a part of it."""

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn import data, models, train

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "mnist"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"MNIST's idx files are not in {FOLDER}")


@pytest.fixture(scope="module")
def mnist():
    return data.load_mnist(FOLDER)


def test_the_files_are_read(mnist):
    training, test = mnist
    assert training.images.shape == (60000, 28, 28)
    assert test.images.shape == (10000, 28, 28)
    assert training.images.dtype == np.uint8
    assert np.bincount(training.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    x = models.lenet5.preprocess(training.images[:5000])
    assert abs(x.mean() - 0.03) < 0.01, "as the docstring says; the paper says 0"
    assert abs(x.var() - 0.12) < 0.01, "as the docstring says; the paper says 1"


@pytest.mark.parametrize(("form", "digits", "accuracy"), [("modern", 12000, 0.9), ("paper", 3000, 0.85)])
def test_one_pass_through_a_part(mnist, form, digits, accuracy):
    training, test = mnist
    minicnn.manual_seed(0)
    recipe = models.lenet5.FORMS[form].recipe()
    model = models.create("lenet5", form=form, **recipe.get("model", {}))
    train.fit(
        model,
        data.Loader(data.ArrayDataset(training.images[:digits], training.labels[:digits]), recipe["batch_size"]),
        optimizer=train.make_optimizer(recipe["optimizer"], model.parameters()),
        epochs=1,
        progress=False,
    )
    held_out = data.ArrayDataset(test.images[:2000], test.labels[:2000])
    assert train.evaluate(model, data.Loader(held_out, 500))["accuracy"] > accuracy
