"""Our networks beside answers of the original code, kept in a file: for whoever has not installed it."""

import numpy as np
import pytest

import minicnn
from parity.make_golden import GOLDEN, KEPT
from parity.originals import CASES
from parity.seeded import seeded_images, seeded_model

ANSWERS = dict(np.load(GOLDEN))


def test_every_network_has_an_answer():
    assert set(ANSWERS) == {str(case) for case in CASES}
    assert all(answer.shape == (KEPT,) and answer.std() > 0.1 for answer in ANSWERS.values())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_logits_are_the_original_s(case):
    model = seeded_model(case.options).eval()
    with minicnn.no_grad():
        logits = model(seeded_images(1, model.size)).numpy()[0, :KEPT]
    assert np.abs(logits - ANSWERS[str(case)]).max() <= 1e-3 * ANSWERS[str(case)].std()  # Winograd is on
