"""Transfer learning: what one network has learnt from a million photos serves another task with a few hundred.

A network is loaded without its last layers (``models.create(..., weights=..., include_top=False, pooling="avg")``),
gets a new head, is frozen, and only the head learns; then, if the task is worth it, the last stages too. Read head.py
and freezing.py first, they are what the word means; job.py is what ``minicnn transfer`` does.
"""

from typing import TYPE_CHECKING, Any

from minicnn.transfer.features import Views as Views
from minicnn.transfer.features import features as features
from minicnn.transfer.features import one_view as one_view
from minicnn.transfer.freezing import freeze as freeze
from minicnn.transfer.freezing import frozen as frozen
from minicnn.transfer.freezing import frozen_hashes as frozen_hashes
from minicnn.transfer.freezing import trainable as trainable
from minicnn.transfer.freezing import unfreeze as unfreeze
from minicnn.transfer.head import Standardize as Standardize
from minicnn.transfer.head import default_head as default_head
from minicnn.transfer.head import linear_head as linear_head
from minicnn.transfer.head import with_head as with_head
from minicnn.transfer.learning import PartsOf as PartsOf
from minicnn.transfer.learning import logits_of as logits_of
from minicnn.transfer.learning import probabilities as probabilities
from minicnn.transfer.learning import rates as rates

if TYPE_CHECKING:
    from minicnn.transfer.estimator import TransferClassifier as TransferClassifier


def __getattr__(name: str) -> Any:
    if name == "TransferClassifier":  # is a class of scikit-learn's, which is imported only for it
        from minicnn.transfer.estimator import TransferClassifier

        return TransferClassifier
    raise AttributeError(f"module 'minicnn.transfer' has no attribute {name!r}")
