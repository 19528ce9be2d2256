"""The rules of the house that no linter knows: who may import whom, and what every op must have."""

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest

import minicnn.functional as F
from cases import all_cases

ROOT = Path(__file__).resolve().parent.parent
ALL = (
    "errors",
    "files",
    "autograd",
    "kernels",
    "functional",
    "random",
    "nn",
    "models",
    "weights",
    "data",
    "train",
    "transfer",
)
ALL = (*ALL, "testing", "inspect")

# Room -> what its files may import beside the standard library and their own room. `minicnn` is left out of names.
ROOMS = {
    "kernels/geometry": (),
    "kernels/reference": ("numpy", "kernels.geometry"),
    "kernels": ("numpy", "numba", "llvmlite"),
    "errors": (),
    "files": ("errors",),
    "arrays": ("numpy", "errors"),
    "autograd": ("numpy", "arrays", "errors"),
    "random": ("numpy", "errors"),
    "functional": ("numpy", "autograd", "kernels", "errors", "random"),
    "nn": ("numpy", "functional", "autograd", "errors", "random"),
    "models": ("numpy", "nn", "functional", "autograd", "errors", "random", "data.preprocessing"),
    "models/pretrained": ("numpy", "nn", "autograd", "errors", "files", "weights", "models"),
    "models/__init__": ("models", "nn", "errors", "data.classes"),
    "weights": ("numpy", "errors", "files"),
    "data": ("numpy", "scipy", "errors", "kernels", "weights.pickle_stream", "weights.source"),
    "train": ("numpy", "scipy", *ALL),
    "transfer": ("numpy", "scipy", *ALL),
    "testing": ("numpy", "scipy", "hypothesis", *ALL),
    "inspect": ("numpy", "scipy", *ALL),
    "__init__": ALL,
    "cli": ("numpy", "numba", "llvmlite", *ALL),
}
# What `pip install 'minicnn[all]'` adds: imported by the function that needs it, never at the top of a file.
EXTRAS = {"PIL", "sklearn", "tqdm", "matplotlib", "safetensors", "h5py", "pooch"}
# Files whose class is one of another library's: imported themselves only when somebody asks for it.
ADAPTERS = {"transfer/estimator": "sklearn"}
# Files of kernels/ that are not an op, so that they have no textbook twin.
NOT_OPS = {"__init__", "jit", "geometry", "simd", "gemm", "patches", "lines", "winograd", "vector_math"}
# Files of models/ that are not an architecture, so that those may import them.
NOT_MODELS = {"__init__", "architecture", "pretrained"}
LONGEST = 550  # lines: what is read in one sitting


def sources() -> dict[str, Path]:
    """Every source file by its name below `minicnn`, with slashes: kernels/reference/conv2d, train/fit, cli."""
    tops = {"kernels": ROOT / "kernels", "": ROOT / "minicnn"}
    return {
        "/".join((*filter(None, [top]), *path.relative_to(base).with_suffix("").parts)): path
        for top, base in tops.items()
        for path in sorted(base.rglob("*.py"))
        if top or path.relative_to(base).parts[0] != "kernels"
    }


FILES = sources()
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in FILES.items()}
every_file = pytest.mark.parametrize("name", FILES)


def room_of(name: str) -> str:
    return max((room for room in ROOMS if name == room or name.startswith(room + "/")), key=len)


def imports(tree: ast.Module):
    """Yield (module, whether inside a function) of every import; `from a import b` is a.b if that is a module."""
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute: a reader then finds the file by its name"
            assert node.module
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_ours(name) else node.module for name in full]
        else:
            continue
        for name in names:
            yield name, id(node) in inside


def is_ours(module: str) -> bool:
    path = module.removeprefix("minicnn.").replace(".", "/")
    return module.startswith("minicnn.") and (path in FILES or f"{path}/__init__" in FILES)


@every_file
def test_a_file_imports_only_what_its_room_may(name):
    room = room_of(name)
    for module, inside in imports(TREES[name]):
        top = module.partition(".")[0]
        if top in sys.stdlib_module_names:
            continue
        if top in EXTRAS:
            assert inside or ADAPTERS.get(name) == top, f"{name}: import {module} in the function that needs it"
            assert "kernels" not in room
            assert room not in ("errors", "autograd", "functional", "nn", "models")
            continue
        short = module.removeprefix("minicnn.").removeprefix("minicnn") or "__init__"
        allowed = (*ROOMS[room], room.replace("/", "."))
        if short == "__init__" and inside and room in ("testing", "inspect", "train", "transfer", "cli"):
            continue
        assert any(short == may or short.startswith(may + ".") for may in allowed), f"{name} imports {module}"


MODELS = {name.removeprefix("models/") for name in FILES if name.startswith("models/")} - NOT_MODELS


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_imports_no_other_model(name):
    imported = {module for module, _ in imports(TREES[f"models/{name}"])}
    assert not imported & {f"minicnn.models.{other}" for other in MODELS}


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("functional/")])
def test_an_op_takes_its_kernels_by_twin(name):
    """Otherwise `using_kernels("reference")` would not reach it."""
    used = {module for module, _ in imports(TREES[name]) if module.startswith("minicnn.kernels")}
    assert used <= {"minicnn.kernels", "minicnn.kernels.geometry"}


@every_file
def test_a_file_has_a_speaking_name_and_a_readable_length(name):
    assert not {"utils", "helpers", "common", "core", "misc"} & set(name.split("/"))
    assert len(FILES[name].read_text().splitlines()) <= LONGEST


@every_file
def test_a_file_has_no_assert_no_print_and_no_fastmath(name):
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, ast.Assert), f"{name}:{node.lineno}: python -O drops it; raise one of our errors"
        if isinstance(node, ast.Call):
            to_standard_output = getattr(node.func, "id", "") == "print" and "file" not in {
                k.arg for k in node.keywords
            }
            assert not to_standard_output or room_of(name) == "cli", f"{name}:{node.lineno}: print"
        if isinstance(node, ast.keyword) and node.arg == "fastmath":
            flags = node.value
            assert not (isinstance(flags, ast.Constant) and flags.value is True), f"{name}: fastmath drops NaN"


@every_file
def test_whatever_is_public_has_a_docstring(name):
    tree = TREES[name]
    assert ast.get_docstring(tree), f"{name}: what is this file?"
    if name.startswith("kernels/reference/") or not name.startswith("kernels/"):
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{name}: {node.name}"


# ----------------------------------------------------------------------------------------- ops


def kernels_of(folder: str) -> dict[str, str]:
    """Op -> the module of its kernels."""
    files = (ROOT / folder).glob("*.py")
    return {path.stem: f"minicnn.{folder}.{path.stem}".replace("/", ".") for path in files if path.stem not in NOT_OPS}


def signatures(module: str) -> dict[str, str]:
    """The public functions of a file of kernels, a new name for another op's function among them."""
    functions = inspect.getmembers(import_module(module), inspect.isfunction)
    return {
        name: str(inspect.signature(function))
        for name, function in functions
        if (function.__module__ == module or function.__name__ != name) and not name.startswith("_")
    }


# What kernels import from each other: a loop that two ops share needs no twin.
LENT = {
    alias.name
    for name, tree in TREES.items()
    for node in ast.walk(tree)
    if name.startswith("kernels/") and isinstance(node, ast.ImportFrom)
    for alias in node.names
}


def test_every_kernel_has_a_twin():
    assert kernels_of("kernels").keys() == kernels_of("kernels/reference").keys()


@pytest.mark.parametrize("op", sorted(kernels_of("kernels")))
def test_twins_have_the_same_functions_and_signatures(op):
    fast, reference = signatures(f"minicnn.kernels.{op}"), signatures(f"minicnn.kernels.reference.{op}")
    assert reference, "an op without a function"
    assert reference == {name: signature for name, signature in fast.items() if name in reference}
    assert fast.keys() - reference.keys() <= LENT


def public_ops() -> dict[str, object]:
    return {name: value for name, value in vars(F).items() if inspect.isfunction(value) and not name.startswith("_")}


def test_every_op_has_a_case_and_every_case_an_op():
    cases = [case.op for case in all_cases()]
    assert sorted(cases) == sorted(set(cases)), "two cases of one op"
    assert set(cases) == set(public_ops())


@pytest.mark.parametrize("op", public_ops())
def test_every_op_has_an_example(op):
    doc = inspect.getdoc(public_ops()[op])
    assert doc
    assert "Examples\n--------" in doc
    assert ">>> " in doc
