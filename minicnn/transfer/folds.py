"""Cross-validation of a transfer: how well it does on photos that it has not seen, and how much that wavers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from minicnn.autograd import Array
from minicnn.data.folders import Parts
from minicnn.errors import OptionError, import_extra
from minicnn.files import write_atomically
from minicnn.transfer.learning import fine_tune, head_logits, load_base, logits_of, probabilities, train_head
from minicnn.transfer.plan import Plan

Tell = Callable[[str], None]
Pair = tuple[int, int]


def divide(labels: Array, folds: int, seed: int) -> list[tuple[Array, Array]]:
    """Divide rows into folds with the same share of each class: for each (rows to learn from, rows to test on).

    Raises
    ------
    OptionError
        If a class has fewer images than there are folds.
    """
    kfold = import_extra("sklearn.model_selection", "cross-validation").StratifiedKFold
    if folds > (fewest := int(np.bincount(labels).min())):
        raise OptionError(f"--folds {folds} needs as many images of each class, one class has {fewest}")
    return list(kfold(folds, shuffle=True, random_state=seed).split(labels, labels))


def cross_validate(plan: Plan, parts: Parts, made: Array, pairs: list[Pair], file: Path, tell: Tell) -> dict[str, Any]:
    """Learn from all folds of the training part but one, test on that; each in its turn.

    The network is built and seeded anew for each fold. The features of an image depend on this image and the frozen
    base alone, so that those computed before serve all folds: its augmented views are in the fold that it is in, and
    it is tested on as it is.

    Parameters
    ----------
    plan : Plan
    parts : Parts
    made : array, shape (N, V, F)
        Features of the training part, those of the tested views first.
    pairs : list of (int, int)
        Rows of training images that look alike.
    file : path
        Where the folds that are done are kept.
    tell : function
        Is told how each fold did, and of pairs that are in different folds.

    Returns
    -------
    dict
        ``folds``, each with ``accuracy`` and ``images``; the mean ``accuracy`` and its ``deviation`` between folds.
    """
    images, labels = parts.training, parts.training.labels
    splits = divide(labels, plan.folds, plan.seed)
    fold_of = np.empty(len(labels), np.int64)
    for number, (_, tested) in enumerate(splits):
        fold_of[tested] = number
    apart = [(i, j) for i, j in pairs if fold_of[i] != fold_of[j]]
    if apart:
        tell(f"note: {len(apart)} pairs of images that look alike are in different folds, which flatters the result")
    done = json.loads(file.read_text()) if file.exists() else []
    for number, (learnt, tested) in list(enumerate(splits))[len(done) :]:
        seed = plan.seed + 100 * (number + 1)
        head, _ = train_head(
            plan.head, made[learnt], labels[learnt], len(parts.classes), seed=seed, balanced=plan.balanced
        )
        said = head_logits(head, made[tested][:, : plan.tested])
        if plan.fine_tune is not None:
            base = load_base(plan)
            with TemporaryDirectory() as folder:
                model, *_ = fine_tune(
                    plan, plan.fine_tune, base, head, images.only(learnt), classes=len(parts.classes), seed=seed + 1,
                    out=Path(folder),
                )  # fmt: skip
            said = logits_of(model, images.only(tested), plan.tested)
        right = probabilities(said).argmax(axis=1) == labels[tested]
        done.append({"accuracy": float(right.mean()), "images": len(tested)})
        write_atomically(file, json.dumps(done).encode())
        tell(f"Fold {number + 1} of {plan.folds}: {100 * done[-1]['accuracy']:.1f} % of {len(tested)}")
    accuracies = np.array([fold["accuracy"] for fold in done])
    return {
        "accuracy": float(accuracies.mean()),
        "deviation": float(accuracies.std(ddof=1)),
        "pairs_apart": len(apart),
        "folds": done,
    }
