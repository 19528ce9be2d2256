"""`minicnn models`, `summary`, `diff` and `info`: what there is."""

from __future__ import annotations

import argparse
import os
import platform
from contextlib import suppress
from importlib import metadata

from minicnn import models
from minicnn.cli.arguments import count
from minicnn.kernels import jit, simd


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    known = commands.add_parser("models", help="list the networks and their forms; the first is the default")
    known.set_defaults(run=_models)
    summary = commands.add_parser("summary", help="print the stages of a network, their sizes and their costs")
    summary.add_argument("model", metavar="MODEL")
    summary.add_argument("--form", help="which form of it")
    summary.add_argument(
        "--depth", type=count, default=1, metavar="N", help="1: the stages (default), 2: their parts, ..."
    )
    summary.set_defaults(run=_summary)
    diff = commands.add_parser("diff", help="print how two forms of a network differ, with sources")
    diff.add_argument("model", metavar="MODEL")
    diff.add_argument("forms", metavar="FORM", nargs=2)
    diff.set_defaults(run=_diff)
    info = commands.add_parser("info", help="print versions, CPU features, threads and the cache folder")
    info.set_defaults(run=_info)


def _models(arguments: argparse.Namespace) -> int:
    for name in models.list():
        entry = models.ARCHITECTURES[name]
        for form in sorted(entry.forms, key=lambda form: form != entry.default):
            print(f"{name:13s}{form:13s}{entry.forms[form].summary}")
    return 0


def _summary(arguments: argparse.Namespace) -> int:
    from minicnn import inspect, nn

    with nn.init.using(nn.init.zeros):
        print(inspect.summary(models.create(arguments.model, form=arguments.form), depth=arguments.depth))
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from minicnn import inspect

    print(inspect.diff(arguments.model, *arguments.forms))
    return 0


def _info(arguments: argparse.Namespace) -> int:
    from llvmlite import binding

    packages = ("numpy", "numba", "llvmlite", "scipy")
    extras = ("pillow", "scikit-learn", "tqdm", "matplotlib", "safetensors", "h5py", "pooch")
    features = binding.get_host_cpu_features()
    known = ("sse4.2", "avx", "avx2", "fma", "avx512f", "neon")
    folder = jit.cache_folder()
    kept = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6 if folder else 0.0
    rows = {
        "minicnn": metadata.version("minicnn"),
        "Python": f"{platform.python_version()} on {platform.platform()}",
        **{name: _version(name) for name in packages},
        "extras": ", ".join(f"{name} {_version(name)}" for name in extras),
        "CPU": f"{binding.get_host_cpu_name()}, {' '.join(name for name in known if features.get(name))}",
        "vectors": f"{simd.VECTOR_BYTES} bytes: {simd.VECTOR_BYTES // 4} float32 at a time",
        "threads": f"{jit.get_num_threads()} of {os.cpu_count()}",
        "kernel cache": f"{folder} ({kept:.1f} MB)" if folder else "none: no folder is writable",
    }
    for name, value in rows.items():
        print(f"{name:13s}{value}")
    return 0


def _version(package: str) -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return "missing (pip install 'minicnn[all]')"
