"""scikit-learn's interface: its own checks, a pipeline, images."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from minicnn import models, transfer
from minicnn.errors import DTypeError, ShapeError
from minicnn.transfer import TransferClassifier


@parametrize_with_checks([TransferClassifier(epochs=20)])
def test_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def digits():
    from sklearn.datasets import load_digits

    return load_digits(n_class=3, return_X_y=True)


def test_in_a_pipeline_and_a_search():
    X, y = digits()
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(), TransferClassifier(random_state=0, epochs=5)),
        {"transferclassifier__dropout": [0.0, 0.9]}, cv=2,
    )  # fmt: skip
    search.fit(X[::2], y[::2])
    assert search.score(X[1::2], y[1::2]) > 0.95
    chances = search.predict_proba(X[:7])
    np.testing.assert_allclose(chances.sum(axis=1), 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet20.npz"
    np.savez(path, **models.create("resnet20").state_dict())
    return path


def stripes(count=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array(["level", "upright"])[rng.integers(2, size=count)]
    waves = 128 + 100 * np.sin(np.arange(32) * rng.uniform(0.7, 1.1, (count, 1)))
    images = np.where((labels == "level")[:, None, None], waves[:, :, None], waves[:, None, :])
    noise = rng.normal(0, 10, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8), labels


def test_images(weights):
    images, labels = stripes()
    made = TransferClassifier("resnet20", weights, views=1, epochs=20, random_state=1).fit(images, labels)
    others, truth = stripes(seed=5)
    assert made.score(others, truth) > 0.9
    assert set(made.predict(others)) <= {"level", "upright"}
    assert made.n_features_in_ == 32 * 32
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.predict_proba(others), made.predict_proba(others))
    np.testing.assert_array_equal(
        clone(made).fit(images, labels).predict_proba(others), made.predict_proba(others)
    )  # fmt: skip


def test_what_are_no_images(weights):
    made = TransferClassifier("resnet20", weights)
    with pytest.raises(DTypeError, match=r"images must be uint8 in 0 \.\. 255, got float64"):
        made.fit(np.zeros((4, 8, 8)), [0, 1, 0, 1])
    with pytest.raises(ShapeError, match=r"\(N, H, W\) or \(N, 1 or 3, H, W\), got \(4, 8, 8, 3\)"):
        made.fit(np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1])
    with pytest.raises(ShapeError, match=r"y must be \(N,\) for 4 images, got \(3,\)"):
        made.fit(np.zeros((4, 8, 8), np.uint8), [0, 1, 0])


def test_it_is_imported_when_it_is_asked_for():
    assert transfer.TransferClassifier is TransferClassifier
    with pytest.raises(AttributeError, match="has no attribute 'Classifier'"):
        transfer.Classifier  # noqa: B018
