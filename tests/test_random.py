import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minicnn
from minicnn import random
from minicnn.errors import OptionError


@pytest.fixture(autouse=True)
def seed_seven():
    before = random.get_state()
    minicnn.manual_seed(7)
    yield
    random.set_state(before)


def test_streams_count_the_steps():
    assert [random.next_stream() for _ in range(3)] == [(7, 0), (7, 1), (7, 2)]
    minicnn.manual_seed(8)
    assert random.next_stream() == (8, 0)


def test_state_survives_json_and_a_restart():
    random.next_stream()
    random.generator("init")
    saved = json.dumps(random.get_state())
    after = random.next_stream(), random.generator("init").random(), random.generator("other").random()
    minicnn.manual_seed(123)
    random.set_state(json.loads(saved))
    assert (random.next_stream(), random.generator("init").random(), random.generator("other").random()) == after


def test_a_state_is_a_copy():
    state = random.get_state()
    random.generator("init")
    assert state == {"seed": 7, "step": 0, "generators": {}}
    random.set_state(state)
    state["generators"]["init"] = 5
    assert random.get_state()["generators"] == {}


def test_generators_differ_by_seed_purpose_and_turn_alone():
    first, second = random.generator("init").random(4), random.generator("init").random(4)
    other = random.generator("shuffle").random(4)
    minicnn.manual_seed(8)
    other_seed = random.generator("init").random(4)
    assert len({a.tobytes() for a in (first, second, other, other_seed)}) == 4
    minicnn.manual_seed(7)
    random.next_stream()
    random.generator("shuffle")
    np.testing.assert_array_equal(random.generator("init").random(4), first)


def test_no_step_is_given_to_two_threads():
    with ThreadPoolExecutor(8) as pool:
        steps = [step for _, step in pool.map(lambda _: random.next_stream(), range(2000))]
    assert sorted(steps) == list(range(2000))


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "7", True, None])
def test_seeds_that_are_none(seed):
    with pytest.raises(OptionError, match=r"^manual_seed: seed must "):
        minicnn.manual_seed(seed)
    assert random.get_state()["seed"] == 7


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int32(3), np.uint64(2**63)])
def test_seeds_that_are_some(seed):
    minicnn.manual_seed(seed)
    assert random.next_stream() == (int(seed), 0)
    assert 0 <= random.generator("init").random() < 1
    json.dumps(random.get_state())


@pytest.mark.parametrize(
    "state", [None, {}, {"seed": 1}, {"seed": 1, "step": -1, "generators": {}}, {"seed": 1, "step": 0, "generators": 3}]
)
def test_states_that_are_none(state):
    with pytest.raises(OptionError, match=r"^set_state: "):
        random.set_state(state)
    assert random.get_state()["seed"] == 7
