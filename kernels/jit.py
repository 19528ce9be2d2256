"""The one decorator and the one launcher: how a loop becomes machine code, and how threads share it.

``@kernel`` compiles a plain Python function with Numba, serially and without the interpreter lock.
``launch(kernel, jobs, ...)`` runs ``kernel(start, stop, ...)`` over ranges of ``range(jobs)`` on a pool
of threads. A kernel writes only what belongs to its jobs and sums in an order that its job alone
decides, so the result is the same, bit for bit, for every number of threads.

Where compiled code is kept
---------------------------
Numba's own cache looks at the file of a kernel alone: a helper changed in another file, or a flag, would
leave the old machine code in use. So compiled code lives in a folder of the user's cache named by a
fingerprint of every file here, of Numba and of the flags. A damaged file in it is thrown away and compiled
again; where no folder is writable, kernels are compiled in every process.

How threads share a launch
--------------------------
The jobs are cut into pieces, a few for each thread, and whoever is free takes the next: the caller begins at once,
helpers join in when they come, and where two threads share a core the slower one takes fewer. To wake a thread is dear
(10 us for the waker, 50 us until it runs, on the virtual machine where this was measured). So a helper does not sleep
at once: it watches for the next launch for PATIENCE microseconds, in compiled code, and a caller that waits for a
helper's last piece watches too. What still puts threads to sleep is Python's lock, when two want it at once. So they
keep out of each other's way: a helper waits DELAY microseconds, until the caller has started its own piece, and says
that it is done after it has let go of the lock. 100 us of work on two threads take 66 us; with a pool of the standard
library 190 us, with helpers that only sleep 120 us.

Why not ``prange``: a serial kernel compiles four times as fast (1.1 s against 4.2 s for a convolution), several Python
threads may launch at once, and ``fork`` is harmless.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config, types
from numba.core.caching import FunctionCache
from numba.core.extending import intrinsic

# Nobody calls kernels through C function pointers, so none are made.
# `contract` lets a * b + c become one fused instruction. The flags that assume "no NaN, no infinity"
# (fastmath=True) are never used: they would drop exactly the values that a student is looking for.
FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "no_cfunc_wrapper": True}

# Scalar operations (2 per ns) of a piece below which handing it to another thread costs more than it saves.
WORTH_A_THREAD = 60_000

# So many of these must each further piece be, once every thread has one: a piece takes Python's lock twice, and who
# waits for that sleeps. A batch norm of 342 us takes two threads 353 us in three pieces for each, 276 us in one.
WORTH_A_PIECE = 10
PIECES = 3  # that a launch has for each thread, if they are worth it
PATIENCE, DELAY, STAGGER = 150, 12, 4  # microseconds; the second helper waits STAGGER longer than the first

MOST_THREADS = 1024  # beyond it the system may refuse to start them, in the middle of an op

_KEPT_FINGERPRINTS = 8


# ------------------------------------------------------------------------------------------- compiling


def second_level_cache(file: str = "/sys/devices/system/cpu/cpu0/cache/index2/size") -> int:
    """Return the bytes of the cache that a core has to itself, for which kernels cut their work into blocks.

    What the system says is believed between 256 KiB and 4 MiB; where it says nothing, 512 KiB.
    """
    try:
        text = Path(file).read_text().strip()
        size = int(text.rstrip("KM")) << {"K": 10, "M": 20}.get(text[-1:], 0)
    except (OSError, ValueError):
        return 512 << 10
    return min(max(size, 256 << 10), 4 << 20)


def fingerprint() -> str:
    """Return a name for the machine code of this very source: all files here, Numba, flags, bounds checks, blocks."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted(here.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    flags = sorted((name, sorted(value) if isinstance(value, set) else value) for name, value in FLAGS.items())
    settings = (numba.__version__, llvmlite.__version__, flags, config.BOUNDSCHECK, config.OPT, second_level_cache())
    digest.update(repr((*settings, os.environ.get("MINICNN_VECTOR_BYTES"))).encode())
    return digest.hexdigest()[:16]


def _cache_candidates() -> list[Path]:
    if chosen := os.environ.get("MINICNN_CACHE_DIR"):
        return [Path(chosen)]
    folders = []
    if base := os.environ.get("XDG_CACHE_HOME"):
        folders.append(Path(base) / "minicnn")
    with suppress(RuntimeError):  # no home directory
        folders.append(Path.home() / ".cache" / "minicnn")
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folders.append(Path(tempfile.gettempdir()) / f"minicnn-{user}")
    return folders


@cache
def cache_folder() -> Path | None:
    """Return the folder that keeps compiled kernels, made on first use; None where nothing is writable.

    ``MINICNN_CACHE_DIR`` chooses another place than the user's cache folder.
    """
    name = fingerprint()
    for base in _cache_candidates():
        folder = base / "kernels" / name
        try:
            is_new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
                continue  # loading machine code from another user's folder would run that user's code
            os.utime(folder)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        if is_new:
            _prune(folder.parent)
        return folder
    return None


def _prune(parent: Path) -> None:
    """Keep the folders used most recently; a process that still runs an older one just compiles again."""
    with suppress(OSError):
        folders = sorted(parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in folders[_KEPT_FINGERPRINTS:]:
            shutil.rmtree(old, ignore_errors=True)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache, except that no fault in it (truncated file, full disk) ever reaches the user."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling a damaged file may raise
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # Numba lets an unwritable folder raise, and reads the old (perhaps damaged) index before it writes.
        for _ in range(2):
            try:
                super().save_overload(sig, data)
            except Exception:
                with suppress(OSError):
                    self.flush()
            else:
                return


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    any_order: bool = False,
    allocates: bool = True,
    inline: bool = False,
    literal: str | None = None,
) -> Any:
    """Compile ``function`` on its first call; later processes load the machine code from the cache.

    ``@kernel(any_order=True)`` is for long sums: the compiler may add their terms in an order of its own (always
    the same one), so that a vector register holds the running sums. A sum of float32 in float64 then
    takes 0.09 ns a term instead of 0.93 (EPYC, AVX2). Not for formulas whose brackets matter.

    ``@kernel(allocates=False)`` is for what other kernels call in their inner loops: it makes no array, so Numba need
    not count references to those it gets, which is an atomic operation for each of them on the way in and out. A
    matrix tile of depth 64 runs 1.2 times as fast.

    ``@kernel(inline=True)`` is for the innermost of these: its code becomes part of its callers'. An array is handed
    over as seven numbers through memory, ten of them cost a call as much as 120 multiply-adds of whole vectors:
    without the call a matrix tile of depth 64 runs another 1.1 times as fast, one of depth 9 1.5 times.

    ``@kernel(literal="width")`` compiles a version for each constant that callers write for ``width``, and none for
    their other constants. Without it, and not inlined, every new constant of any argument is a version of its own.

    Examples
    --------
    >>> import numpy as np
    >>> @kernel
    ... def halve(start, stop, x, out):
    ...     for i in range(start, stop):
    ...         out[i] = x[i] / 2
    >>> out = np.empty(3)
    >>> launch(halve, 3, np.array([2.0, 4.0, 6.0]), out, work=1)
    >>> out
    array([1., 2., 3.])
    """
    if function is None:
        return partial(kernel, any_order=any_order, allocates=allocates, inline=inline, literal=literal)
    flags = {**FLAGS, "fastmath": FLAGS["fastmath"] | {"reassoc"}} if any_order else FLAGS
    dispatcher = numba.njit(**flags, _nrt=allocates and not inline, forceinline=inline)(function)
    if config.DISABLE_JIT:
        return dispatcher
    if inline or literal:  # LLVM sees the constants of an inlined call anyway: compile it once, not for 6 and for 16
        _forget_constants(dispatcher, literal)
    folder = cache_folder()
    if folder is not None:
        numbas_own, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            with suppress(RuntimeError, OSError):  # source not in a file, or the folder has just gone
                dispatcher._cache = _Cache(function)
        finally:
            config.CACHE_DIR = numbas_own
    return dispatcher


def _forget_constants(dispatcher: Any, kept: str | None) -> None:
    """Have calls from other kernels find one version for all constants, except those of the argument ``kept``."""
    names, template = list(dispatcher._compiler.pysig.parameters), dispatcher.get_call_template
    plain: Callable[[Any], Any] = types.unliteral  # type: ignore[attr-defined]

    def without_constants(args: Any, kws: Any) -> Any:
        args = tuple(kind if name == kept else plain(kind) for name, kind in zip(names, args, strict=False))
        return template(args, {name: kind if name == kept else plain(kind) for name, kind in kws.items()})

    dispatcher.get_call_template = without_constants


# ------------------------------------------------------------------------------------------- threads


def _default_threads() -> int:
    for variable in ("MINICNN_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "")
        if value.isdigit() and 0 < int(value) <= MOST_THREADS:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Places of the words that a helper and its callers leave for each other; the third is for who has nothing to say.
_CALLED, _RESTING, _NOTHING = 0, 1, 2


def _read(typing_context: Any, words: Any, place: Any) -> Any:
    """Return ``words[place]`` as another thread left it this moment; the fence keeps a loop of looks slow and cool."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        builder.fence("seq_cst")
        return builder.load_atomic(builder.gep(array.data, [arguments[1]]), "seq_cst", 8)

    return words.dtype(words, types.intp), code


_look: Any = intrinsic(_read)


@kernel
def _watch(words: Any, said: int, awaited: int, looks: int, more: int) -> None:
    """Set ``words[said]``; look at ``words[awaited]`` until it is set, at most ``looks`` times, then ``more`` times.

    Nobody holds the interpreter's lock meanwhile: who sees ``words[said]`` can have it at once.
    """
    words[said] = 1
    for _ in range(looks):
        if _look(words, awaited):
            for _ in range(more):
                _look(words, awaited)
            break


@cache
def _looks_per_microsecond() -> float:
    words = np.zeros(3, np.int64)
    seconds = []
    for looks in (1, 1000, 1000, 1000):  # the first compiles
        begin = perf_counter()
        _watch(words, _NOTHING, _CALLED, looks, 0)
        seconds.append((perf_counter() - begin) / looks)
    return 1e-6 / min(seconds)


class _Helper:
    """A thread that takes part in launches; after each it watches awhile for the next one, then sleeps."""

    def __init__(self, number: int) -> None:
        looks = _looks_per_microsecond()
        self.patience, self.delay = int(PATIENCE * looks), int((DELAY + STAGGER * number) * looks)
        self.words = np.zeros(3, np.int64)
        self.inbox: SimpleQueue[tuple[Any, Callable[[], None] | None]] = SimpleQueue()
        self.thread = threading.Thread(target=self._serve, name=f"minicnn_{number}", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            _watch(self.words, _RESTING, _CALLED, self.patience, self.delay)
            door, take = self.inbox.get()
            self.words[:] = 0
            if take is None:
                return
            with door:
                take()
            del take  # and with it the arrays

    def call(self, door: Any, take: Callable[[], None] | None) -> None:
        """Ask the helper to run ``take`` behind ``door``; with None, to leave."""
        self.words[_CALLED] = 1
        self.inbox.put((door, take))

    def wait_outside(self, door: Any) -> None:
        """Return when the helper is not behind ``door``, be it that it has left or that it has not begun."""
        if door.locked():
            _watch(self.words, _NOTHING, _RESTING, self.patience, 0)
        with door:
            pass


class _Team:
    """The helpers, started when first needed and again after ``fork`` (a child inherits no threads)."""

    def __init__(self) -> None:
        self.size = _default_threads()
        self.forget()

    def forget(self) -> None:
        self.helpers: list[_Helper] = []
        self.lock = threading.Lock()

    def first(self, count: int) -> list[_Helper]:
        if len(self.helpers) < count:
            with self.lock:
                while len(self.helpers) < count:
                    self.helpers.append(_Helper(len(self.helpers)))
        return self.helpers[:count]

    def resize(self, size: int) -> None:
        with self.lock:
            self.size = size
            leaving, self.helpers = self.helpers[size - 1 :], self.helpers[: size - 1]
        for helper in leaving:
            helper.call(None, None)
        for helper in leaving:
            helper.thread.join()


_team = _Team()
atexit.register(_team.resize, 1)  # a thread that is still running when Python's own state is torn down may crash
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_team.forget)


def set_num_threads(n: int) -> None:
    """Let kernels run on ``n`` threads from now on (default: ``MINICNN_NUM_THREADS``, else all cores).

    Results do not depend on it.

    Raises
    ------
    ValueError
        If ``n`` is not an integer in 1 .. 1024.

    Examples
    --------
    >>> import minicnn
    >>> before = minicnn.get_num_threads()
    >>> minicnn.set_num_threads(1)
    >>> minicnn.get_num_threads()
    1
    >>> minicnn.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= MOST_THREADS:
        raise ValueError(f"set_num_threads: n must be an integer in 1 .. {MOST_THREADS}, got {n!r}")
    _team.resize(int(n))


def get_num_threads() -> int:
    """Return the number of threads that kernels run on."""
    return _team.size


def launch(kernel: Callable[..., Any], jobs: int, *args: Any, work: float) -> None:
    """Run ``kernel(start, stop, *args)`` so that the ranges cover ``range(jobs)``, each once.

    ``work`` is the number of scalar operations of one job; it decides how many threads are worth waking.
    """
    worth = jobs * work / WORTH_A_THREAD
    threads = 1 if worth < 2 else min(_team.size, jobs, int(worth))
    if threads <= 1:
        if jobs > 0:
            kernel(0, jobs, *args)
        return
    pieces = max(threads, min(int(worth / WORTH_A_PIECE), PIECES * threads))
    size = -(-jobs // min(jobs, pieces))
    starts = iter(range(0, jobs, size))
    errors: list[BaseException] = []

    def take() -> None:
        for start in starts:  # a step of it is atomic: nobody else gets this piece
            try:
                kernel(start, min(start + size, jobs), *args)
            except BaseException as error:
                errors.append(error)

    called = [(helper, threading.Lock()) for helper in _team.first(threads - 1)]
    try:
        for helper, door in called:
            helper.call(door, take)
        take()
    finally:
        _end(starts, called)
    if errors:
        raise errors[0]


def _end(starts: Iterator[int], called: list[tuple[_Helper, Any]]) -> None:
    """Return when nobody can write into the arrays any more: nothing is left to take, and who took something is done.

    A helper that has not begun by now is not waited for: it will find nothing.
    """
    try:
        for _ in starts:  # there are some after an interrupt
            pass
        for helper, door in called:
            helper.wait_outside(door)
    except BaseException:  # Ctrl-C while we wait
        _end(starts, called)
        raise
