import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from minicnn import functional, nn, random
from minicnn.data import ArrayDataset, Loader
from minicnn.errors import LoadError, NotFiniteError, OptionError, SaveError, ShapeError, StateError
from minicnn.train import (
    SGD,
    Adam,
    Callback,
    Interrupted,
    StochasticDiagonalLevenbergMarquardt,
    accuracy,
    confusion_matrix,
    evaluate,
    fit,
    load_checkpoint,
    per_class_table,
    top_k_accuracy,
)
from minicnn.train.progress import ProgressBar
from minicnn.train.schedules import Cosine, Table

# A task of ten seconds' worth of arithmetic less: is the bar upright or lying? With dropout and batch norm, so
# that random numbers and running means must be restored, too.


def bars(n=60, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(0, 0.3, (n, 1, 8, 8)).astype(np.float32)
    labels = rng.integers(0, 2, n)
    for image, label in zip(images, labels, strict=True):
        place = rng.integers(1, 7)
        image[0, :, place] += 1.5 * (label == 0)
        image[0, place, :] += 1.5 * (label == 1)
    return ArrayDataset(images, labels)


def network():
    random.manual_seed(3)
    return nn.Sequential(
        {
            "C1": nn.Sequential({"conv": nn.Conv2d(1, 4, 3), "norm": nn.BatchNorm2d(4), "act": nn.ReLU()}),
            "S2": nn.MaxPool2d(2),
            "drop": nn.Dropout(0.2),
            "flatten": nn.Flatten(),
            "output": nn.Linear(36, 2),
        }
    )


def run(out=None, epochs=3, model=None, batch=8, formula=Adam, lr=0.01, **options):
    model = network() if model is None else model
    options = {"schedule": Cosine(3), "validation": Loader(bars(20, 1), 20), "progress": False, **options}
    data = Loader(bars(), batch, shuffle=True, seed=5)
    history = fit(model, data, optimizer=formula(model.parameters(), lr=lr), epochs=epochs, out=out, **options)
    return model, history


def fingerprint(model, history):
    """Everything that must be the same for a run to be the same; time is not."""
    rows = [dataclasses.replace(row, seconds=0.0) for row in history]
    return rows, {name: array.tobytes() for name, array in model.state_dict().items()}, random.get_state()


@pytest.fixture(scope="module")
def uninterrupted():
    return fingerprint(*run())


# ------------------------------------------------------------------------------------------- it learns


def test_it_learns_and_says_so():
    model, history = run(epochs=15, schedule=None)
    assert [row.epoch for row in history] == list(range(1, 16))
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[-1].validation_accuracy >= 0.9
    result = evaluate(model, Loader(bars(20, 1), 6))
    assert result["accuracy"] == history[-1].validation_accuracy == accuracy(result["labels"], result["predicted"])
    assert result["loss"] == pytest.approx(history[-1].validation_loss, rel=1e-5)
    np.testing.assert_array_equal(result["labels"], bars(20, 1).labels)


def test_the_rows_are_what_a_hand_written_loop_finds():
    model, data = network(), Loader(bars(20), 8, shuffle=True)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses, right = [], 0
    for epoch in range(2):
        losses, right = [], 0
        for images, labels in data.batches(epoch):
            optimizer.zero_grad()
            optimizer.factor = 0.5 if epoch == 1 else 1.0
            outputs = model(images)
            loss = functional.cross_entropy(outputs, labels)
            loss.backward()
            optimizer.step()
            losses.append((float(loss), len(labels)))
            right += int((outputs.numpy().argmax(axis=1) == labels).sum())
    other = network()
    history = fit(
        other,
        data,
        optimizer=SGD(other.parameters(), lr=0.1, momentum=0.9),
        epochs=2,
        schedule=Table(((1, 1.0), (1, 0.5))),
        progress=False,
    )
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name])
    assert history[-1].train_loss == pytest.approx(sum(a * n for a, n in losses) / 20, rel=1e-12)
    assert history[-1].train_accuracy == right / 20
    assert [row.lr for row in history] == [0.1, 0.05]
    assert history[-1].validation_loss is None


def test_a_batch_larger_than_the_data_and_a_last_batch_of_one():
    for batch in (1000, 59):
        assert len(run(epochs=1, batch=batch)[1]) == 1


def test_evaluating_changes_nothing(uninterrupted):
    model = network()
    before = {name: array.tobytes() for name, array in model.state_dict().items()}
    state = random.get_state()
    evaluate(model, Loader(bars(), 7))
    assert model.training
    assert random.get_state() == state
    assert {name: array.tobytes() for name, array in model.state_dict().items()} == before
    empty = evaluate(model, Loader(bars(0), 7))
    assert np.isnan(empty["loss"])
    assert np.isnan(empty["accuracy"])


def test_history_as_a_table(tmp_path):
    _, history = run(epochs=2)
    history.write_csv(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[2].split(",")[:2] == ["2", str(history[1].train_loss)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"save_every": 0}, "save_every must be"),
        ({"validation": Loader(bars(0), 4)}, "validation must hold at least one image"),
        ({"lr": float("nan")}, "lr must be"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(OptionError, match=message):
        run(**options)


def test_an_empty_data_set():
    model = network()
    with pytest.raises(OptionError, match="fit: data must hold at least one image"):
        fit(model, Loader(bars(0), 4), optimizer=SGD(model.parameters(), lr=1.0), epochs=1)


# ------------------------------------------------------------------------------------------- resuming


class StopAt(Callback):
    """Pretend that somebody pressed Ctrl-C in the middle of a step."""

    def __init__(self, epoch, batch):
        self.when = epoch, batch

    def on_step(self, run):
        if (run.epoch, run.batch) == self.when:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("formula", [Adam, StochasticDiagonalLevenbergMarquardt])
@pytest.mark.parametrize("when", [(0, 1), (1, 3), (1, 8), (2, 7)])
def test_stopped_anywhere_and_resumed_is_the_same_run(tmp_path, when, formula, uninterrupted):
    def attempt(**options):
        model = network() if formula is Adam else chain()
        return run(tmp_path / "run", model=model, formula=formula, **options)

    expected = uninterrupted if formula is Adam else fingerprint(*run(model=chain(), formula=formula))
    with pytest.raises(Interrupted, match=f"SIGINT in epoch {when[0] + 1} after step {when[1]} of 8") as caught:
        attempt(callbacks=[StopAt(*when)])
    assert len(caught.value.history) == when[0]
    random.manual_seed(999)  # a new process starts anywhere
    resumed = attempt(resume=True)
    assert fingerprint(*resumed) == expected
    again = attempt(resume=True)  # finished: nothing is left to do
    assert fingerprint(*again) == expected


def chain():
    random.manual_seed(4)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ScaledTanh(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(108, 2))


def test_training_longer_is_resuming(tmp_path, uninterrupted):
    for epochs in (1, 2, 3):
        result = run(tmp_path, epochs=epochs, resume=True)
    assert fingerprint(*result) == uninterrupted


def test_a_corrupt_checkpoint_costs_an_epoch_and_nothing_else(tmp_path, uninterrupted):
    run(tmp_path, epochs=2)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="is corrupt: .* going back to previous.safetensors"):
        result = run(tmp_path, resume=True)
    assert fingerprint(*result) == uninterrupted


def test_a_run_is_not_overwritten_nor_resumed_as_another(tmp_path):
    run(tmp_path, epochs=1)
    with pytest.raises(OptionError, match="holds a run already; give resume=True"):
        run(tmp_path)
    with pytest.raises(StateError, match="another optimiser"):
        run(tmp_path, resume=True, formula=SGD)
    with pytest.raises(StateError, match="another optimiser or network"):
        run(tmp_path, resume=True, model=nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    with pytest.warns(UserWarning, match="resumed with batch_size=10, the run had 8"):
        run(tmp_path, resume=True, batch=10, epochs=2)


def test_what_a_checkpoint_holds(tmp_path):
    model, history = run(tmp_path, epochs=2)
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.model.keys() == model.state_dict().keys()
    assert checkpoint.facts["settings"]["optimizer"]["groups"][0]["lr"] == 0.01
    assert checkpoint.facts["settings"]["schedule"] == "Cosine(epochs=3, floor=0.0)"
    assert [row["train_loss"] for row in checkpoint.facts["history"]] == [row.train_loss for row in history]


CHILD = """
import sys, signal
sys.path[:0] = {path!r}
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the shell of these tests says
from test_fit import Callback, Interrupted, fingerprint, run

class Tell(Callback):
    def on_step(self, run):
        print("step", flush=True)

try:
    run({out!r}, epochs={epochs}, resume=True, save_every={save_every}, callbacks=[Tell()])
except Interrupted as error:
    print(error, flush=True)
    sys.exit(130)
"""


def child(out, epochs=3, save_every=None):
    path = [os.path.dirname(__file__), *sys.path]
    code = CHILD.format(path=path, out=str(out), epochs=epochs, save_every=save_every)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("save_every", [None, 3])
def test_killed_at_random_moments_and_resumed_is_the_same_run(tmp_path, uninterrupted, save_every):
    rng = np.random.default_rng(save_every)
    for _ in range(3):
        with child(tmp_path, save_every=save_every) as process:
            for _ in range(rng.integers(1, 11)):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
    assert fingerprint(*run(tmp_path, resume=True)) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_a_process_saves_and_exits_130(tmp_path, number):
    with child(tmp_path, epochs=10_000) as process:
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(number)
        output, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 130, errors
    message = output.splitlines()[-1]
    assert message.startswith(f"{number.name} in epoch ")
    steps = 5 + output.count("step\n")
    place = load_checkpoint(tmp_path).facts["place"]
    assert 8 * place["epoch"] + place["batch"] == steps


def test_the_second_ctrl_c_stops_at_once():
    class Impatient(Callback):
        def on_step(self, run):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(callbacks=[Impatient()])
    assert not isinstance(caught.value, Interrupted)
    assert signal.getsignal(signal.SIGINT) is before


# ------------------------------------------------------------------------------------------- when it breaks


def test_a_loss_that_is_not_finite_names_the_layer_and_keeps_the_checkpoint(tmp_path):
    class Break(Callback):
        def on_step(self, run):
            if (run.epoch, run.batch) == (1, 4):
                with run.model.C1.conv.weight.changing() as array:
                    array[2, 0, 1, 1] = np.inf

    with pytest.raises(
        NotFiniteError,
        match=r"the loss became nan in epoch 2 after step 4 of 8 .*the last good checkpoint is in .*: "
        r"the first layer whose output is not finite is C1\.conv; neither is its weight",
    ):
        run(tmp_path, callbacks=[Break()])
    checkpoint = load_checkpoint(tmp_path)
    assert len(checkpoint.facts["history"]) == 1
    assert all(np.isfinite(array).all() for array in checkpoint.model.values())


def test_it_names_the_layer_not_the_stage_around_it_nor_a_later_one():
    class Poison(nn.Module):
        def forward(self, input):
            return input / np.zeros(1, np.float32)

    model = network()
    model.S2 = nn.Sequential({"pool": nn.MaxPool2d(2), "poison": Poison()})
    with pytest.raises(NotFiniteError, match=r"the first layer whose output is not finite is S2\.poison$"):
        run(model=model)


def test_images_and_losses_can_be_at_fault_too():
    broken = bars(20)
    broken.images[13] = np.nan
    model = network()
    with pytest.raises(NotFiniteError, match="the images are not finite"):
        fit(model, Loader(broken, 20), optimizer=SGD(model.parameters(), lr=0.1), epochs=1, progress=False)
    with pytest.raises(NotFiniteError, match=r"the loss became inf .*the loss itself is not"):
        run(loss=lambda outputs, labels: functional.cross_entropy(outputs, labels) * np.float32(np.inf))


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Break(Callback):
        def on_step(self, run):
            if (run.epoch, run.batch) == (0, 8):
                with run.model.output.bias.changing() as array:
                    array[0] = np.nan

    with pytest.raises(NotFiniteError, match=r"output.bias became NaN or infinite"):
        run(tmp_path, callbacks=[Break()], validation=None)
    assert load_checkpoint(tmp_path).facts["place"]["epoch"] == 0


def test_a_learning_rate_that_explodes_ends_in_a_clear_error():
    with pytest.raises(NotFiniteError, match=r"first layer|became NaN or infinite"):
        run(formula=SGD, lr=1e30, epochs=5)


def test_dead_units_are_reported():
    model = network()
    with model.C1.norm.bias.changing() as array:
        array[...] = -100.0
    with pytest.warns(UserWarning, match=r"no gradient reaches C1\.conv\.weight, .*in epoch 1"):
        run(model=model, epochs=1)
    frozen = network()
    for p in frozen.C1.parameters():
        p.requires_grad = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(model=frozen, epochs=1)


def test_a_full_disk_is_a_clear_error_and_the_run_can_go_on(tmp_path, monkeypatch, uninterrupted):
    calls = []
    real = os.fsync

    def fsync(handle):
        calls.append(handle)
        if len(calls) == 5:  # each save has two: the file, the folder; this is the third save
            raise OSError(28, "No space left on device")
        real(handle)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", fsync)
        with pytest.raises(SaveError, match="No space left on device"):
            run(tmp_path)
    assert load_checkpoint(tmp_path).facts["place"]["epoch"] == 1
    assert fingerprint(*run(tmp_path, resume=True)) == uninterrupted


def test_two_runs_in_one_folder(tmp_path):
    class Second(Callback):
        def on_step(self, outer):
            with pytest.raises(SaveError, match="another run"):
                run(tmp_path, resume=True)
            outer.stop = True

    assert len(run(tmp_path, callbacks=[Second()])[1]) == 1


def test_nothing_to_resume_is_a_start_and_rubbish_is_an_error(tmp_path, uninterrupted):
    assert fingerprint(*run(tmp_path / "new", resume=True)) == uninterrupted
    (tmp_path / "checkpoint.safetensors").write_bytes(b"rubbish")
    with pytest.raises(LoadError, match="cannot be read as a checkpoint"):
        run(tmp_path, resume=True)


# ------------------------------------------------------------------------------------------- what one sees


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_bar_for_each_epoch(monkeypatch, stream):
    screen = stream()
    monkeypatch.setattr(sys, "stderr", screen)
    _, history = run(epochs=2, progress=True)
    text = screen.getvalue()
    assert text.count("\n") == 2
    for row in history:
        assert f"Epoch {row.epoch}/2: 100%" in text
        assert f"accuracy {row.validation_accuracy:.2%}" in text


def test_without_tqdm_a_line_for_each_epoch(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    run(epochs=2, progress=True)
    assert [line[:10] for line in screen.getvalue().splitlines()] == ["Epoch 1/2:", "Epoch 2/2:"]


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("make", [lambda: None, closed, Broken])
@pytest.mark.parametrize("tqdm", [True, False])
def test_a_screen_that_is_gone_ends_no_run(monkeypatch, make, tqdm, uninterrupted):
    if not tqdm:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    with monkeypatch.context() as screen:
        screen.setattr(sys, "stderr", make())
        assert fingerprint(*run(progress=True)) == uninterrupted


def test_a_bar_that_was_stopped_stays_where_it_was(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with pytest.raises(Interrupted):
        run(progress=True, callbacks=[StopAt(0, 4)])
    assert "4/8" in screen.getvalue().splitlines()[-1].rpartition("\r")[2]
    assert ProgressBar()._screen.bar is None


# ------------------------------------------------------------------------------------------- metrics


def test_metrics():
    labels, predicted = np.array([0, 1, 2, 2, 1]), np.array([0, 2, 2, 2, 1])
    assert accuracy(labels, predicted) == 0.8
    assert confusion_matrix(labels, predicted, 4).tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    scores = np.eye(3)[predicted] + 0.5 * np.eye(3)[[1, 1, 1, 1, 0]]
    assert [top_k_accuracy(labels, scores, k) for k in (1, 2, 3)] == [0.8, 1.0, 1.0]
    assert top_k_accuracy([1, 0], [[0.5, 0.5], [0.5, 0.5]], k=1) == 0.5
    with pytest.raises(ShapeError, match="one shape"):
        accuracy([1, 2], [1])
    with pytest.raises(ShapeError, match="scores must be"):
        top_k_accuracy([1, 2], [[1.0]], k=1)
    with pytest.raises(OptionError, match=r"k must lie in 1 .. 3"):
        top_k_accuracy(labels, scores, k=4)


def test_table_of_classes():
    lines = per_class_table([0, 1, 1, 2], [0, 1, 0, 2], names=["zero", "one", "two", "three"]).splitlines()
    assert lines[2].split() == ["zero", "0.5000", "1.0000", "0.6667", "1"]
    assert lines[3].split() == ["one", "1.0000", "0.5000", "0.6667", "2"]
    assert lines[5].split() == ["three", "0.0000", "0.0000", "0.0000", "0"]


def test_settings_are_json(tmp_path):
    run(tmp_path, epochs=1, formula=StochasticDiagonalLevenbergMarquardt, model=chain())
    settings = load_checkpoint(tmp_path).facts["settings"]
    assert json.loads(json.dumps(settings)) == settings
    assert settings["optimizer"]["samples"] == 500
