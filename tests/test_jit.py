"""The compile decorator's cache, which must never give old code or an error, and the launcher of threads."""

import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.kernels import jit

ROOT = Path(__file__).resolve().parent.parent

HELPER = """
from minicnn.kernels.jit import kernel

@kernel
def change(value):
    return value + {step}
"""

KERNEL = """
import numpy as np
from minicnn.kernels import jit
from minicnn.kernels.probe_helper import change

@jit.kernel
def run(start, stop, x, out):
    for i in range(start, stop):
        out[i] = change(x[i])

def answer():
    out = np.zeros(3)
    jit.launch(run, 3, np.arange(3.0), out, work=1)
    return out[2]
"""

REPORT = """
from minicnn.kernels import jit, probe
value = probe.answer()
print(value, sum(probe.run.stats.cache_hits.values()), jit.cache_folder() is not None)
"""


@pytest.fixture
def tree(tmp_path):
    """A copy of the kernels with two files more: a kernel, and the helper that it calls."""
    package = tmp_path / "tree" / "minicnn"
    shutil.copytree(ROOT / "kernels", package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").write_text("")
    (package / "kernels" / "probe.py").write_text(KERNEL)
    (package / "kernels" / "probe_helper.py").write_text(HELPER.format(step=1.0))
    return package.parent


class Child:
    """Start Python on a tree with a cache of its own."""

    def __init__(self, tree, cache):
        self.tree, self.cache = tree, cache

    def start(self, code=REPORT, **environment):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "MINICNN_"))}
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env={**clean, "PYTHONPATH": str(self.tree), "MINICNN_CACHE_DIR": str(self.cache), **environment},
            cwd=self.tree,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out.strip()

    def __call__(self, code=REPORT, **environment):
        return self.finish(self.start(code, **environment))


@pytest.fixture
def child(tree, tmp_path):
    return Child(tree, tmp_path / "cache")


# ----------------------------------------------------------------------------------------- the cache


def test_a_second_process_loads_what_the_first_compiled(child):
    assert child() == "3.0 0 True"
    assert child() == "3.0 1 True"


def test_a_changed_helper_in_another_file_gives_the_new_answer(child, tree):
    """With Numba's own cache the old machine code answers 3.0 again."""
    assert child() == "3.0 0 True"
    (tree / "minicnn" / "kernels" / "probe_helper.py").write_text(HELPER.format(step=9.0))
    assert child() == "11.0 0 True"


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_a_damaged_cache_file_is_compiled_again(child, suffix, damage):
    child()
    files = list(child.cache.rglob(f"*.{suffix}"))
    assert files, "nothing was cached"
    for path in files:
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[: len(whole) // 2], "noise": b"\x93" * len(whole)}[damage])
    assert child() == "3.0 0 True"
    assert child() == "3.0 1 True"  # and the damage is repaired


def test_two_processes_may_fill_a_cold_cache_at_once(child):
    both = [child.start(), child.start()]
    assert {child.finish(process) for process in both} <= {"3.0 0 True", "3.0 1 True"}
    assert child() == "3.0 1 True"


def test_without_a_writable_folder_kernels_compile_all_the_same(child):
    child.cache.write_text("a file where the folder should be: chmod would not stop root")
    assert child() == "3.0 0 False"


def test_a_folder_that_vanishes_while_running_is_no_fault(child):
    vanish = "import shutil; from minicnn.kernels import probe\nshutil.rmtree(jit.cache_folder())\n"
    code = REPORT.replace("value =", vanish + "value =").replace(" is not None", ".name == jit.fingerprint()")
    assert child(code) == "3.0 0 True"


def test_without_a_cache_variable_the_users_folders_are_tried_in_turn(monkeypatch, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setattr(jit, "_cache_candidates", lambda: [blocked, tmp_path / "next"])
    jit.cache_folder.cache_clear()
    try:
        assert jit.cache_folder() == tmp_path / "next" / "kernels" / jit.fingerprint()
    finally:
        jit.cache_folder.cache_clear()


def test_a_folder_of_another_user_is_not_trusted(monkeypatch, tmp_path):
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    owners = {path / "kernels" / jit.fingerprint(): uid for path, uid in ((theirs, 4711), (mine, os.getuid()))}
    real = Path.stat

    def stat(self, **options):
        result = list(real(self, **options))
        result[4] = owners.get(self, result[4])
        return os.stat_result(result)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(jit, "_cache_candidates", lambda: [theirs, mine])
    jit.cache_folder.cache_clear()
    try:
        assert jit.cache_folder() == mine / "kernels" / jit.fingerprint()
    finally:
        jit.cache_folder.cache_clear()


def test_old_fingerprints_are_pruned(child):
    parent = child.cache / "kernels"
    for age in range(12):
        old = parent / f"old{age:02}"
        old.mkdir(parents=True)
        (old / "kernel.nbi").write_bytes(b"old")
        os.utime(old, (time.time() - 3600 * (age + 1),) * 2)
    child()
    left = {path.name for path in parent.iterdir()}
    assert len(left) == 8
    assert left > {f"old{age:02}" for age in range(7)}


def test_bounds_checks_do_not_reuse_unchecked_code(child):
    code = "import numpy as np; from minicnn.kernels import jit, probe\n"
    code += "try: probe.run(0, 4, np.zeros(3), np.zeros(4))\nexcept IndexError: print('caught')\n"
    assert child() == "3.0 0 True"
    assert child(code, NUMBA_BOUNDSCHECK="1") == "caught"
    assert len(list((child.cache / "kernels").iterdir())) == 2


def test_numbas_own_cache_setting_is_left_alone(child):
    code = "import numba; from minicnn.kernels import probe; print(numba.config.CACHE_DIR)"
    assert child(code, NUMBA_CACHE_DIR="/somewhere") == "/somewhere"


# ----------------------------------------------------------------------------------------- threads


@pytest.fixture
def threads():
    """Set the number of threads; afterwards it is what it was."""
    before = jit.get_num_threads()
    yield jit.set_num_threads
    jit.set_num_threads(before)


@given(st.integers(0, 40), st.integers(1, 5), st.sampled_from([0, 1, 1e4, 1e6]))
def test_every_job_is_done_exactly_once(jobs, n, work):
    before = jit.get_num_threads()
    done, lock = [], threading.Lock()

    def note(start, stop):
        with lock:
            done.extend(range(start, stop))

    try:
        jit.set_num_threads(n)
        jit.launch(note, jobs, work=work)
    finally:
        jit.set_num_threads(before)
    assert sorted(done) == list(range(jobs))


def test_little_work_wakes_nobody_and_much_work_everybody(threads):
    threads(3)
    used = []
    for work in (1, 10 * jit.WORTH_A_THREAD):
        names = set()
        barrier = threading.Barrier(3, timeout=10) if work > 1 else None

        def note(start, stop, names=names, barrier=barrier):
            names.add(threading.current_thread().name)
            if barrier:
                barrier.wait()  # broken unless three ranges really run at once

        jit.launch(note, 3, work=work)
        used.append(len(names))
    assert used == [1, 3]


def test_several_python_threads_may_launch_at_once(threads):
    threads(2)
    wrong = []

    def many(seed):
        for round in range(50):
            out = np.zeros(64, int)

            def fill(start, stop, out=out, value=seed + round):
                out[start:stop] += value

            jit.launch(fill, 64, work=1e6)
            if not (out == seed + round).all():
                wrong.append((seed, round))

    callers = [threading.Thread(target=many, args=(1000 * (i + 1),)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    assert not wrong


def test_the_number_of_threads_may_change_while_others_launch(threads):
    threads(2)
    stop, errors = threading.Event(), []

    def caller():
        out = np.zeros(8)

        def fill(start, stop):
            out[start:stop] += 1

        try:
            while not stop.is_set():
                jit.launch(fill, 8, work=1e6)
        except Exception as error:
            errors.append(error)

    other = threading.Thread(target=caller)
    other.start()
    for i in range(60):
        threads(1 + i % 3)
    stop.set()
    other.join(timeout=60)
    assert not errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_of_fork_launches_on_threads_of_its_own(child):
    code = """
import os, signal, numpy as np
from minicnn.kernels import jit
jit.set_num_threads(3)
def total():
    out = np.zeros(9)
    def fill(start, stop): out[start:stop] += 1
    jit.launch(fill, 9, work=1e6)
    return out.sum()
assert total() == 9          # the pool exists when we fork
pid = os.fork()
if pid == 0:
    signal.alarm(20)         # a lost pool would wait for ever
    os._exit(0 if total() == 9 else 1)
print(os.waitpid(pid, 0)[1], total())
"""
    assert child(code) == "0 9.0"


@pytest.mark.parametrize("bad", [0, -1, 1.0, "2", None, True, 10**9])
def test_the_number_of_threads_is_a_positive_integer(bad):
    before = jit.get_num_threads()
    with pytest.raises(ValueError, match=r"set_num_threads: n must be an integer in 1 \.\. 1024, got"):
        jit.set_num_threads(bad)
    assert jit.get_num_threads() == before


def test_the_number_of_threads_may_be_numpys(threads):
    threads(np.int64(3))
    assert jit.get_num_threads() == 3


def test_without_the_compiler_the_reference_kernels_run_and_the_fast_ones_say_why_not(child):
    code = """
from minicnn.kernels import twin, using_kernels
with using_kernels("reference"):
    print(twin("max_pool2d").__name__)
try:
    twin("max_pool2d")
except RuntimeError as error:
    print(error)
"""
    answer = child(code, NUMBA_DISABLE_JIT="1")
    assert answer.startswith("minicnn.kernels.reference.max_pool2d\nthe fast kernels need Numba's compiler")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MINICNN_NUM_THREADS": "3"}, "3"),
        ({"OMP_NUM_THREADS": "5"}, "5"),
        ({"MINICNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"MINICNN_NUM_THREADS": "many", "OMP_NUM_THREADS": "4"}, "4"),
    ],
)
def test_the_environment_sets_the_number_of_threads(child, environment, expected):
    environment = {"OMP_NUM_THREADS": "", **environment}
    assert child("from minicnn.kernels import jit; print(jit.get_num_threads())", **environment) == expected


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_exception_in_any_range_arrives_after_all_ranges_ended(threads, failing):
    threads(3)
    ended = []

    def work(start, stop):
        if start == failing:
            raise MemoryError(f"in range {start}")
        time.sleep(0.1)
        ended.append(start)

    with pytest.raises(MemoryError, match=f"in range {failing}"):
        jit.launch(work, 3, work=1e9)
    assert sorted(ended) == [i for i in range(3) if i != failing]


@jit.kernel
def _running_sums(start, stop, x, out):
    for job in range(start, stop):
        total = 0.0
        for value in x:
            total += value * job
            out[job] += total


def test_compiled_kernels_run_from_several_python_threads_at_once(threads):
    threads(3)
    x = np.random.default_rng(0).standard_normal(200)
    expected = np.zeros(64)
    _running_sums(0, 64, x, expected)
    wrong = []

    def many(pause):
        for _ in range(100):
            out = np.zeros(64)
            jit.launch(_running_sums, 64, x, out, work=1e6)
            wrong.extend(np.flatnonzero(out != expected))
            time.sleep(pause)  # so that helpers are met awake and asleep

    callers = [threading.Thread(target=many, args=(pause,)) for pause in (0, 0, 1e-4, 2e-3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    assert not wrong


def test_a_caller_does_not_wait_for_a_helper_that_is_busy_elsewhere(threads):
    threads(2)
    helper_is_in, may_leave = threading.Event(), threading.Event()
    names = []

    def held(start, stop):
        if threading.current_thread() is not other:
            helper_is_in.set()
        may_leave.wait(timeout=60)

    other = threading.Thread(target=lambda: jit.launch(held, 2, work=1e9))
    other.start()
    try:
        assert helper_is_in.wait(timeout=60)
        jit.launch(lambda start, stop: names.append(threading.current_thread().name), 8, work=1e9)
        assert len(names) > 1
        assert set(names) == {threading.current_thread().name}
    finally:
        may_leave.set()
        other.join()


def test_a_kernel_may_launch(threads):
    threads(3)
    done = np.zeros((6, 6), int)

    def inner(start, stop, row):
        done[row, start:stop] += 1

    def outer(start, stop):
        for row in range(start, stop):
            jit.launch(inner, 6, row, work=1e9)

    caller = threading.Thread(target=lambda: jit.launch(outer, 6, work=1e9))
    caller.start()
    caller.join(timeout=60)
    assert not caller.is_alive()
    assert (done == 1).all()


def test_nobody_keeps_the_arrays_of_a_launch(threads):
    threads(3)

    class Marked(np.ndarray):
        pass

    for pause in (0, 0.01):
        array = np.zeros(9).view(Marked)
        seen = weakref.ref(array)
        time.sleep(pause)
        jit.launch(lambda start, stop, out: time.sleep(1e-3), 9, array, work=1e9)
        del array
        for _ in range(1000):  # a helper that came too late needs a moment to notice
            if seen() is None:
                break
            time.sleep(1e-3)
        assert seen() is None


def test_helpers_that_are_not_needed_leave(threads):
    threads(4)
    jit.launch(lambda start, stop: None, 4, work=1e9)
    for n in (3, 1):
        threads(n)
        alive = [thread.name for thread in threading.enumerate() if thread.name.startswith("minicnn_")]
        assert len(alive) == n - 1


@pytest.mark.parametrize("seconds", [0.02, 0.05])
def test_after_an_interrupt_nobody_writes(child, seconds):
    code = f"""
import signal, time, numpy as np
from minicnn.kernels import jit
jit.set_num_threads(3)
@jit.kernel
def count(start, stop, out):
    for job in range(start, stop):
        for i in range(3_000_000):
            out[job] += i % 3
out = np.zeros(24)
jit.launch(count, 24, out, work=1e9)  # compiled, and the helpers are there
whole = out.copy()
for _ in range(5):
    out[:] = 0
    signal.setitimer(signal.ITIMER_REAL, {seconds})
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        while True:
            out[:] = 0
            jit.launch(count, 24, out, work=1e9)
    except KeyboardInterrupt:
        left = out.copy()
    time.sleep(0.05)
    assert (out == left).all()
    out[:] = 0
    jit.launch(count, 24, out, work=1e9)
    assert (out == whole).all()
print("quiet")
"""
    assert child(code) == "quiet"


def test_an_interrupt_while_helpers_are_called_leaves_the_rest_undone(threads, monkeypatch):
    threads(3)
    began = threading.Event()
    done = []

    def work(start, stop):
        began.set()
        time.sleep(0.05)
        done.append(start)

    def interrupted(door, take):
        assert began.wait(timeout=60)  # the first helper is at it
        raise KeyboardInterrupt

    monkeypatch.setattr(jit._team.first(2)[1], "call", interrupted)
    with pytest.raises(KeyboardInterrupt):
        jit.launch(work, 9, work=1e9)
    after = len(done)
    assert after < 9
    time.sleep(0.1)
    assert len(done) == after
    monkeypatch.undo()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork_while_another_thread_launches(child):
    code = """
import os, signal, threading, numpy as np
from minicnn.kernels import jit
jit.set_num_threads(3)
def total():
    out = np.zeros(9)
    def fill(start, stop): out[start:stop] += 1
    jit.launch(fill, 9, work=1e6)
    return out.sum()
total()  # compiled: Python itself does not survive a fork in the middle of an import
stop = threading.Event()
def busy():
    while not stop.is_set():
        total()
other = threading.Thread(target=busy)
other.start()
codes = []
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)     # who waits for a helper that is not there is killed
        os._exit(0 if total() == 9 else 1)
    codes.append(os.waitpid(pid, 0)[1])
stop.set()
other.join()
print(set(codes), total())
"""
    assert child(code) == "{0} 9.0"


def test_the_interpreter_ends_while_helpers_watch_and_sleep(child):
    code = "import time, numpy as np; from minicnn.kernels import jit\njit.set_num_threads(3)\n"
    code += "jit.launch(lambda start, stop: None, 9, work=1e6)\n"
    assert child(code) == ""
    assert child(code + "time.sleep(0.1)") == ""


@pytest.mark.parametrize(
    ("text", "size"), [("512K\n", 512), ("1280K\n", 1280), ("2M\n", 2048), ("1K\n", 256), ("", 512), ("?K", 512)]
)
def test_blocks_fit_the_cache_that_the_system_names(tmp_path, text, size):
    file = tmp_path / "size"
    file.write_text(text)
    assert jit.second_level_cache(str(file)) == size << 10
    assert jit.second_level_cache(str(tmp_path / "missing")) == 512 << 10


def test_an_inlined_function_is_compiled_once_whatever_numbers_it_is_called_with():
    @jit.kernel(inline=True)
    def scaled(x, by):
        return x * by

    @jit.kernel
    def two(start, stop, out):
        for i in range(start, stop):
            out[i] = scaled(scaled(out[i], 2), 3)

    out = np.ones(2)
    jit.launch(two, 2, out, work=1)
    assert out.tolist() == [6, 6]
    assert len(scaled.signatures) == 1


def test_a_function_is_compiled_for_the_constants_of_the_named_argument_only():
    @jit.kernel(allocates=False, literal="by")
    def scaled(x, by, shift):
        return x * by + shift

    @jit.kernel
    def thrice(start, stop, out):
        for i in range(start, stop):
            out[i] = scaled(scaled(scaled(out[i], 2, 1), 3, shift=2), 3, 7)

    out = np.ones(2)
    jit.launch(thrice, 2, out, work=1)
    assert out.tolist() == [40, 40]  # ((1 * 2 + 1) * 3 + 2) * 3 + 7
    assert len(scaled.signatures) == 2
