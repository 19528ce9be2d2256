"""What `pip install` brings: a wheel that is whole, works elsewhere, and imports quickly."""

import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_OURS = shutil.ignore_patterns(
    ".git", ".venv", "runs", "build", "dist", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis"
)


def run(*command, cwd=None, **environment) -> str:
    """Run a command; return what it printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def python_files() -> set[str]:
    """Every module of the tree, at its place in the wheel."""
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / "minicnn").rglob("*.py")}
    kernels = {f"minicnn/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "kernels").rglob("*.py")}
    return {name for name in ours if not name.startswith("minicnn/kernels/")} | kernels


def test_the_package_list_is_the_folders():
    folders = {str(Path(name).parent).replace("/", ".") for name in python_files()}
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(folders)


def test_the_link_for_tools_that_read_files_is_a_link():
    link = ROOT / "minicnn" / "kernels"
    assert link.is_symlink()
    assert os.readlink(link) == "../kernels"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel made from it, of a copy of this tree under version control."""
    tmp = tmp_path_factory.mktemp("build")
    tree, out = tmp / "tree", tmp / "dist"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=NOT_OURS)
    git = ["git", "-c", "core.hooksPath=/dev/null", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "tree"]):
        run(*git, *command, cwd=tree)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=tree)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def test_the_wheel_holds_every_module_and_only_one_top_name(built):
    names = set(zipfile.ZipFile(built[1]).namelist())
    assert {name for name in names if name.endswith(".py")} == python_files()
    assert {"minicnn/py.typed", "minicnn/kernels/README.md", "minicnn/data/imagenet_classes.txt"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"minicnn"}


def test_the_sdist_is_whole(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tests = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    kernels = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kernels").rglob("*.py")}
    assert tests | kernels | {"README.md", "LICENSE", "pyproject.toml", "CHANGELOG.md"} <= names


USE = """
import sys, importlib.metadata, minicnn, numpy as np
x = minicnn.Tensor(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), requires_grad=True)
minicnn.functional.max_pool2d(x, 2).sum().backward()
print(minicnn.__file__.startswith(sys.prefix), int(x.grad.sum().item()), importlib.metadata.version('minicnn'))
"""


def test_the_wheel_works_in_a_fresh_environment(built, tmp_path):
    """The dependencies are borrowed from this environment by a .pth file: downloading them again takes minutes."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built[1])
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    cache = {"MINICNN_CACHE_DIR": str(tmp_path / "cache")}
    inside, total, version = run(python, "-c", USE, cwd=tmp_path, **cache).split()
    assert (inside, total) == ("True", "4")
    assert f"minicnn-{version}-" in built[1].name
    assert run(python.with_name("minicnn"), "info", cwd=tmp_path, **cache).split()[:2] == ["minicnn", version]


def test_import_compiles_nothing(tmp_path):
    code = "from numba.core import event\n"
    code += "with event.install_recorder('numba:compile') as seen: import minicnn\n"
    code += "print(len(seen.buffer))"
    assert run(sys.executable, "-c", code, cwd=ROOT, MINICNN_CACHE_DIR=str(tmp_path)) == "0"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_import_takes_little_longer_than_numbas():
    code = "import time, numba\nstart = time.perf_counter()\nimport minicnn\nprint(time.perf_counter() - start)"
    seconds = [float(run(sys.executable, "-c", code, cwd=ROOT)) for _ in range(5)]
    assert statistics.median(seconds) <= 0.3, seconds


def test_the_folder_of_kernels_refuses_to_be_a_top_level_package():
    code = "try: import kernels\nexcept ImportError as error: print(error)"
    assert "import minicnn.kernels" in run(sys.executable, "-c", code, cwd=ROOT)


def test_everything_but_the_extras_works_without_them(tmp_path):
    """Core dependencies are enough to compute; a feature that needs more says which line brings it."""
    packages = [line.partition(">")[0] for line in PYPROJECT["project"]["optional-dependencies"]["all"]]
    extras = [{"pillow": "PIL", "scikit-learn": "sklearn"}.get(package, package) for package in packages]
    block = f"import sys\nfor name in {extras}: sys.modules[name] = None\n"
    assert run(sys.executable, "-c", block + USE, cwd=ROOT).split()[1] == "4"
    code = block + "from minicnn.cli import main\nsys.exit(main(['train', 'lenet5', '--out', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'minicnn[all]'" in done.stderr
    assert "Traceback" not in done.stderr
