import numpy as np
import pytest

from minicnn.errors import OptionError
from minicnn.train.schedules import LECUN_1998, Cosine, Polynomial, Step, Table, Warmup


def at(schedule, *progress):
    return [schedule(p) for p in progress]


def test_step():
    np.testing.assert_allclose(at(Step(3, 0.5), 0, 2.99, 3, 5.9, 6, 9), [1, 1, 0.5, 0.5, 0.25, 0.125])


def test_cosine():
    np.testing.assert_allclose(at(Cosine(10), 0, 2.5, 5, 10, 12), [1, (1 + 0.5**0.5) / 2, 0.5, 0, 0], atol=1e-15)
    np.testing.assert_allclose(at(Cosine(10, floor=0.1), 0, 5, 10), [1, 0.55, 0.1])


def test_polynomial():
    np.testing.assert_allclose(at(Polynomial(8), 0, 2, 8, 9), [1, 0.75, 0, 0])
    np.testing.assert_allclose(at(Polynomial(4, power=0.5), 0, 3, 4), [1, 0.5, 0])


def test_warm_up():
    np.testing.assert_allclose(at(Warmup(4), 0, 1, 4, 100), [0, 0.25, 1, 1])
    np.testing.assert_allclose(at(Warmup(2, Step(2, 0.1)), 1, 2, 4), [0.5, 0.1, 0.01])


def test_the_papers_table():
    rates = [0.0005 * LECUN_1998(epoch) for epoch in range(22)]
    paper = [0.0005] * 2 + [0.0002] * 3 + [0.0001] * 3 + [0.00005] * 4 + [0.00001] * 10
    np.testing.assert_allclose(rates, paper, rtol=1e-12)
    assert LECUN_1998(1.999) == LECUN_1998(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step(0),
        lambda: Step(2, -0.1),
        lambda: Step(2, float("nan")),
        lambda: Cosine(0),
        lambda: Cosine(5, floor=2),
        lambda: Polynomial(5, power=0),
        lambda: Polynomial(float("nan")),
        lambda: Table(()),
        lambda: Table(((0, 1.0),)),
        lambda: Warmup(0),
    ],
)
def test_schedules_that_cannot_be(make):
    with pytest.raises(OptionError, match=r"must be .*, got \w+\("):
        make()
