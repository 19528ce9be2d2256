"""Transfer learning with scikit-learn's interface: in pipelines, grid searches and cross-validation of its own.

This file alone imports scikit-learn at its top, since its class is one of scikit-learn's; ``minicnn.transfer`` imports
it when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from minicnn import models
from minicnn.autograd import Array
from minicnn.data import ArrayDataset
from minicnn.errors import DTypeError, ShapeError
from minicnn.transfer.features import Views, features
from minicnn.transfer.freezing import freeze
from minicnn.transfer.head import linear_head
from minicnn.transfer.learning import PartsOf, head_logits, probabilities, train_head
from minicnn.transfer.plan import Head

TESTED = 2  # views of an image


class TransferClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A head on a frozen network, or on features that you have already.

    Parameters
    ----------
    model : str, optional
        Name of a network, as in ``models.create``; the samples are images then. None: they are features.
    weights : path, optional
        The file of its weights.
    epochs, batch_size, views, dropout, lr, weight_decay, smoothing
        How the head learns, see ``minicnn.transfer.plan.Head``; ``views`` is for images.
    random_state : int, RandomState or None
        Of all random numbers.

    Attributes
    ----------
    classes_ : array
        What the labels were, sorted.
    n_features_in_ : int
        Of a sample, an image's pixels.
    head_ : dict of str to array
        What the head has learnt: a common scale and one linear layer.

    Raises
    ------
    ShapeError, DTypeError
        If the samples are no images, uint8 (N, H, W) or (N, 1 or 3, H, W), and a network was named.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(cross_val_score(TransferClassifier(random_state=0), X, y, cv=3).mean() > 0.9)
    True
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | Path | None = None,
        *,
        epochs: int = 60,
        batch_size: int = 32,
        views: int = 0,
        dropout: float = 0.0,
        lr: float = 0.03,
        weight_decay: float = 0.01,
        smoothing: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.model, self.weights = model, weights
        self.epochs, self.batch_size, self.views, self.dropout = epochs, batch_size, views, dropout
        self.lr, self.weight_decay, self.smoothing, self.random_state = lr, weight_decay, smoothing, random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the head.

        Parameters
        ----------
        X : array
            Features (N, F); or, if a network was named, images, uint8 (N, H, W) or (N, 1 or 3, H, W).
        y : array, shape (N,)
            Classes, of any kind that scikit-learn knows.
        """
        samples, given = self._samples(X, y)
        check_classification_targets(given)
        self.classes_, labels = np.unique(given, return_inverse=True)
        seed = int(check_random_state(self.random_state).randint(2**31))
        choice = Head(
            epochs=self.epochs, batch_size=self.batch_size, views=self.views, dropout=self.dropout, lr=self.lr,
            weight_decay=self.weight_decay, smoothing=self.smoothing,
        )  # fmt: skip
        made = self._features(samples, seed, self.views)
        if len(self.classes_) > 1:
            head, _ = train_head(choice, made, labels, len(self.classes_), seed=seed)
        else:  # there is nothing to learn
            head = linear_head(made.shape[2], 1, dropout=self.dropout)
        self.head_ = head.state_dict()
        return self

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of each class for each sample, (N, classes)."""
        check_is_fitted(self)
        samples, _ = self._samples(X)
        head = linear_head(len(self.head_["scale.mean"]), len(self.classes_), dropout=self.dropout)
        head.load_state_dict(self.head_)
        return probabilities(head_logits(head, self._features(samples, 0, 0)))

    def predict(self, X: ArrayLike) -> Array:
        """Return the likeliest class of each sample, (N,)."""
        chances = self.predict_proba(X)
        chosen: Array = self.classes_[chances.argmax(axis=1)]
        return chosen

    def _samples(self, X: Any, y: Any = None) -> tuple[NDArray[Any], Any]:
        """Check what was given, as scikit-learn's own estimators do."""
        if self.model is None:
            if y is None:
                return validate_data(self, X, reset=False, dtype=np.float64), None
            features, labels = validate_data(self, X, y, dtype=np.float64)
            return features, labels
        images = np.asarray(X)
        if images.dtype != np.uint8:
            raise DTypeError(f"TransferClassifier: images must be uint8 in 0 .. 255, got {images.dtype}")
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[1] not in (1, 3)):
            raise ShapeError(
                f"TransferClassifier: images must have shape (N, H, W) or (N, 1 or 3, H, W), got {images.shape}"
            )
        if y is not None:
            self.n_features_in_ = int(np.prod(images.shape[1:]))
            if np.shape(y) != images.shape[:1]:
                raise ShapeError(f"TransferClassifier: y must be (N,) for {len(images)} images, got {np.shape(y)}")
        return images, None if y is None else np.asarray(y)

    def _features(self, samples: NDArray[Any], seed: int, views: int) -> Array:
        """Return features (N, V, F): of images what the network makes of them."""
        if self.model is None:
            return samples[:, None].astype(np.float32)
        base: Any = models.create(self.model, weights=self.weights, include_top=False, pooling="avg")
        freeze(base)
        shown = Views(base.form.preprocess, TESTED, PartsOf(base.form.preprocess), views)
        return features(base, ArrayDataset(samples, np.zeros(len(samples), np.int64)), shown, seed=seed)
