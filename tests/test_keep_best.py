"""The best weights are kept, training stops when none better come, and a resumed run does the same."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minicnn.errors import OptionError
from minicnn.train import Callback, History, KeepBest, Row, load_checkpoint
from test_fit import fingerprint, run

EPOCHS, RATE, PATIENCE = 30, 0.1, 3  # so large a rate that the validation loss goes up and down


def history(*losses):
    return History([Row(n, 1.0, 0.5, loss, 0.5, 0.1, 1.0) for n, loss in enumerate(losses, 1)])


def test_which_epoch_is_the_best():
    assert KeepBest.epoch(history(0.5, 0.3, 0.4)) == 2
    assert KeepBest.epoch(history(0.3, 0.2, 0.2)) == 2
    assert KeepBest.epoch(history(float("nan"), 0.9)) == 2
    with pytest.raises(OptionError, match="needs a validation loss of every epoch"):
        KeepBest.epoch(history(0.1, None))
    with pytest.raises(OptionError, match="patience must be an integer >= 1, got 0"):
        KeepBest("a", 0)


def train(folder, **options):
    folder.mkdir(exist_ok=True)
    best = KeepBest(folder / "best.safetensors", PATIENCE)
    callbacks = [*options.pop("callbacks", ()), best]
    model, rows = run(folder, epochs=EPOCHS, lr=RATE, schedule=None, callbacks=callbacks, **options)
    return model, rows, best


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model, rows, best = train(folder)
    last = fingerprint(model, rows)
    epoch = best.restore(model)
    return last, epoch, model.state_dict()


def test_it_stops_when_nothing_better_comes(whole):
    (rows, *_), epoch, _ = whole
    assert PATIENCE < len(rows) < EPOCHS
    losses = [row.validation_loss for row in rows]
    assert epoch == np.argmin(losses) + 1 == len(rows) - PATIENCE


def test_the_weights_are_those_of_the_best_epoch(tmp_path, whole):
    _, epoch, state = whole

    class Watch(Callback):
        def on_epoch_end(self, run):
            if run.epoch == epoch:
                self.state = run.model.state_dict()

    watch = Watch()
    train(tmp_path, callbacks=[watch])
    for name, array in watch.state.items():
        np.testing.assert_array_equal(state[name], array)


CHILD = """
import sys; sys.path[:0] = {path!r}
from pathlib import Path
from test_keep_best import train
train(Path({out!r}), resume=True)
"""


def child(folder):
    path = [os.path.dirname(__file__), *sys.path]
    return subprocess.Popen([sys.executable, "-c", CHILD.format(path=path, out=str(folder))], stderr=subprocess.PIPE)


def test_killed_it_keeps_the_same_weights(tmp_path, whole):
    last, epoch, state = whole
    rng = np.random.default_rng(0)
    for _ in range(3):
        with child(tmp_path) as process:
            while process.poll() is None and not (tmp_path / "checkpoint.safetensors").exists():
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
    model, rows, best = train(tmp_path, resume=True)
    assert fingerprint(model, rows) == last
    assert best.restore(model) == epoch
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(state[name], array)


def test_killed_between_the_checkpoint_and_the_best_weights(tmp_path, whole):
    """The file of the best weights is one epoch old then: the resumed run sees that, and writes it again."""
    _, epoch, state = whole

    class Die(Callback):
        def on_epoch_end(self, run):
            if run.epoch == epoch:
                raise SystemExit

    with pytest.raises(SystemExit):
        train(tmp_path, callbacks=[Die()])
    assert load_checkpoint(tmp_path).facts["place"]["epoch"] == epoch
    model, _, best = train(tmp_path, resume=True)
    assert best.restore(model) == epoch
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(state[name], array)


def test_a_run_that_had_stopped_stops_again(tmp_path, whole):
    last, *_ = whole
    train(tmp_path)
    model, rows, _ = train(tmp_path, resume=True)
    assert fingerprint(model, rows) == last
