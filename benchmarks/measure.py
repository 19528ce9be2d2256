"""How to measure on a machine that others use too: a clock, taking turns, and what the machine could do at best.

Wall time alone lies on a shared machine. So the sides of a comparison take turns in one process, many times, and
medians are compared. One thread is timed in CPU cycles where the system hands them out (``perf_event_open``), else in
its own CPU time, which leaves out what other processes do meanwhile; several threads in wall time, for they wait for
each other. What a neighbour does to the caches, or to the other half of a core, stays in all of these.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import minicnn
from minicnn.kernels.jit import kernel, launch
from minicnn.kernels.simd import fma, lanes, load, splat, store, tuple_setitem

# --------------------------------------------------------------------------------------------------- clocks

_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}.get(platform.machine())


@cache
def cycle_counter() -> int | None:
    """Return a file that counts the CPU cycles of this thread, the system's on its behalf too, if we may have one."""
    if platform.system() != "Linux" or _PERF_EVENT_OPEN is None:
        return None
    # struct perf_event_attr: hardware event (0) of number 0, cycles; bit 6 of the flags leaves out the hypervisor
    attributes = struct.pack("IIQQQQQ", 0, 112, 0, 0, 0, 0, 1 << 6).ljust(112, b"\0")
    this_thread, any_cpu, no_group = 0, -1, -1
    file = ctypes.CDLL(None).syscall(_PERF_EVENT_OPEN, attributes, this_thread, any_cpu, no_group, 0)
    return int(file) if file >= 0 else None


def clock(threads: int = 1) -> tuple[Callable[[], int], str]:
    """Return the best clock for work on so many threads, and its unit."""
    if threads > 1:
        return time.perf_counter_ns, "ns"
    if (file := cycle_counter()) is not None:
        return lambda: int.from_bytes(os.read(file, 8), "little"), "cycles"
    return time.thread_time_ns, "ns"


# --------------------------------------------------------------------------------------------- taking turns


def alternate(
    sides: Mapping[str, Callable[[], Callable[[], Any]]], rounds: int, now: Callable[[], int]
) -> dict[str, list[int]]:
    """Let the sides take turns for some rounds; return what each turn took.

    A side prepares, untimed, the function that is then timed. What that returns is dropped within the time taken,
    for whoever computes an array gives it back some time.
    """
    taken: dict[str, list[int]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, prepare in sides.items():
            run = prepare()
            start = now()
            run()
            taken[name].append(now() - start)
    return taken


# ----------------------------------------------------------------------------- what the machine could do


@kernel
def _multiply_add(start, stop, turns, out):
    half, one = splat(out, 0.5), splat(out, 1)
    for job in range(start, stop):
        sums = (one, one, one, one, one, one, one, one, one, one, one, one)  # independent: none waits for another
        for _ in range(turns):
            for i in range(6):
                sums = tuple_setitem(sums, 2 * i, fma(sums[2 * i], half, one))
                sums = tuple_setitem(sums, 2 * i + 1, fma(sums[2 * i + 1], half, one))
        for i in range(12):
            store(out, (12 * job + i) * lanes(out), sums[i])


@kernel
def _copy(start, stop, part, turns, source, target):
    for job in range(start, stop):
        for _ in range(turns):
            for at in range(job * part, (job + 1) * part, lanes(target)):
                store(target, at, load(source, at))


LANES = lanes(np.empty(0, np.float32))
_LONG = 1e9  # operations of a job: worth a thread


def multiply_adds(turns: int = 200_000) -> tuple[Callable[[], None], float]:
    """Return a function that does nothing but multiply and add, on all threads, and its flops."""
    threads = minicnn.get_num_threads()
    out = np.empty(threads * 12 * LANES, np.float32)
    return lambda: launch(_multiply_add, threads, turns, out, work=_LONG), 2.0 * 12 * LANES * turns * threads


def copies(nbytes: float, least: int = 1 << 23) -> tuple[Callable[[], None], float]:
    """Return a function that moves ``nbytes`` (reads and writes together) again and again, and how many in all.

    It takes turns enough to move ``least`` bytes, so that waking the threads counts for little.
    """
    threads = minicnn.get_num_threads()
    part = LANES * max(1, int(nbytes) // (8 * LANES * threads))  # of a thread; 4 bytes read and 4 written
    size = threads * part
    turns = -(-least // (8 * size))
    source, target = np.ones(size, np.float32), np.zeros(size, np.float32)
    return lambda: launch(_copy, threads, part, turns, source, target, work=_LONG), 8.0 * size * turns


def rates(nbytes: float, threads: int, rounds: int = 9) -> tuple[float, float]:
    """Return flops and bytes per unit of ``clock(threads)`` that the machine reaches now, moving ``nbytes`` at a time.

    What fits into a cache is copied at that cache's speed.
    """
    (compute, flops), (move, moved) = multiply_adds(), copies(nbytes)
    compute(), move()
    taken = alternate({"compute": lambda: compute, "move": lambda: move}, rounds, clock(threads)[0])
    return flops / median(taken["compute"]), moved / median(taken["move"])


def cpu() -> str:
    """Return the processor's name and the width of our vectors: what a measurement belongs to."""
    name, family = platform.processor() or platform.machine(), ""
    if Path("/proc/cpuinfo").exists():
        facts = dict(
            (part.strip() for part in line.split(":", 1))
            for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
        name = facts.get("model name", name)
        family = f", family {facts.get('cpu family')} model {facts.get('model')}"
    return f"{name}{family}, vectors of {4 * LANES} bytes"


# --------------------------------------------------------------------------------------------------- memory


def peak_memory(call: Callable[[], Any]) -> int | None:
    """Return by how many bytes this process grew, at its highest, while ``call`` ran; None outside Linux.

    Python's and NumPy's own counters do not see what compiled code allocates; the system's does.
    """
    reset = Path("/proc/self/clear_refs")
    if not os.access(reset, os.W_OK):
        return None
    trim_memory()
    reset.write_text("5")  # the highest mark falls to what is in use now
    before = _memory("VmRSS")
    result = call()  # alive until the mark is read
    grown = _memory("VmHWM") - before
    del result
    return grown


def keep_memory() -> None:
    """Let freed memory stay with this process, so that new arrays cost no page faults (glibc; arrays up to 32 MiB)."""
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD


def trim_memory() -> None:
    """Give freed memory back to the system, so that new arrays lie elsewhere and count as new."""
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))
