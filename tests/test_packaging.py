"""The distribution: what is in it and what it asks for.

The wheel is built and run in an environment that holds nothing else than what it asks for; none of
these tests needs a network.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
FOLDERS = {"lightclient": "lightclient", "lightclient_cli": "cli"}


def _package_of(folder: Path) -> str:
    top, *rest = folder.relative_to(CHECKOUT).parts
    installed_as = {folder_name: package for package, folder_name in FOLDERS.items()}
    return ".".join([installed_as[top], *rest])


def _shipped_files() -> Iterator[Path]:
    for folder in FOLDERS.values():
        for path in (CHECKOUT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def test_every_package_folder_is_listed_for_the_wheel() -> None:
    on_disk = {_package_of(path.parent) for path in _shipped_files() if path.suffix == ".py"}
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    assert sorted(on_disk) == sorted(listed), "keep [tool.setuptools] packages in step"


def test_every_file_that_is_not_python_is_listed_as_package_data() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]
    missing = []
    for path in _shipped_files():
        if path.suffix in {".py", ".pyc"}:
            continue
        covered = any(
            path.is_relative_to(folder := CHECKOUT / FOLDERS[top] / Path(*rest))
            and fnmatch.fnmatch(str(path.relative_to(folder)), pattern)
            for package, globs in patterns.items()
            for top, *rest in [package.split(".")]
            for pattern in globs
        )
        if not covered:
            missing.append(str(path.relative_to(CHECKOUT)))
    assert missing == []


# --- requirements ---------------------------------------------------------------------------------


def _environment(system: str, machine: str, python: str, implementation: str) -> dict[str, str]:
    return {
        "sys_platform": system,
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_python_implementation": implementation,
        "extra": "",
    }


def _asked_for(requirements: list[str], environment: dict[str, str]) -> set[str]:
    wanted: set[str] = set()
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            wanted.add(canonicalize_name(requirement.name))
    return wanted


MACHINES = [
    # system, machine, implementation, default backend
    ("linux", "x86_64", "CPython", "milagro-bls-binding"),
    ("linux", "aarch64", "CPython", "milagro-bls-binding"),
    ("linux", "i686", "CPython", "milagro-bls-binding"),
    ("linux", "armv7l", "CPython", "py-arkworks-bls12381"),
    ("linux", "riscv64", "CPython", "py-arkworks-bls12381"),
    ("linux", "x86_64", "PyPy", "py-arkworks-bls12381"),
    ("darwin", "arm64", "CPython", "milagro-bls-binding"),
    ("darwin", "x86_64", "CPython", "milagro-bls-binding"),
    ("win32", "AMD64", "CPython", "milagro-bls-binding"),
    ("win32", "ARM64", "CPython", "py-arkworks-bls12381"),
    ("freebsd14", "amd64", "CPython", "py-arkworks-bls12381"),
]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(("system", "machine", "implementation", "backend"), MACHINES)
def test_exactly_one_signature_backend_is_installed_by_default(
    system: str, machine: str, implementation: str, backend: str, python: str
) -> None:
    environment = _environment(system, machine, python, implementation)
    wanted = _asked_for(PYPROJECT["project"]["dependencies"], environment)
    assert wanted & {"milagro-bls-binding", "py-arkworks-bls12381"} == {backend}


@pytest.mark.parametrize(
    ("system", "machine", "python", "has_wheel"),
    [
        ("linux", "x86_64", "3.11", True),
        ("linux", "x86_64", "3.14", True),
        ("linux", "aarch64", "3.13", True),
        ("linux", "aarch64", "3.14", False),
        ("linux", "riscv64", "3.12", False),
        ("darwin", "arm64", "3.13", True),
        ("darwin", "arm64", "3.14", False),
        ("win32", "AMD64", "3.12", True),
        ("win32", "AMD64", "3.14", False),
        ("win32", "ARM64", "3.12", False),
    ],
)
def test_blst_is_asked_for_only_where_it_has_a_wheel(
    system: str, machine: str, python: str, has_wheel: bool
) -> None:
    environment = _environment(system, machine, python, "CPython")
    wanted = _asked_for(PYPROJECT["project"]["optional-dependencies"]["fast"], environment)
    assert "py-arkworks-bls12381" in wanted
    assert ("pyblst" in wanted) == has_wheel


def test_only_the_maintained_remerkleable_is_asked_for() -> None:
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {canonicalize_name(Requirement(line).name) for group in groups for line in group}
    assert "eth-remerkleable" in names
    assert "remerkleable" not in names


# --- the wheel ------------------------------------------------------------------------------------


@dataclass
class Installed:
    """A virtual environment that holds the wheel and exactly the distributions it asks for."""

    folder: Path

    def run(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, from an empty folder and with nothing inherited."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run(
            [str(self.folder / "bin" / arguments[0]), *arguments[1:]],
            cwd=elsewhere,
            env={"PATH": "/usr/bin:/bin", "HOME": str(elsewhere), "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def _closure(requirements: list[str], extra: str) -> set[str]:
    """Names of all distributions that pip would install for these requirements, here."""
    found: set[str] = set()
    pending = [(line, extra) for line in requirements]
    while pending:
        line, for_extra = pending.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": for_extra}):
            continue
        name = canonicalize_name(requirement.name)
        extras = ["", *sorted(requirement.extras)]
        if name in found and not requirement.extras:
            continue
        found.add(name)
        needs = importlib.metadata.distribution(name).requires or []
        pending += [(need, wanted) for need in needs for wanted in extras]
    return found


def _install(wheel: Path, folder: Path, extra: str) -> Installed:
    """Install without a package index: the dependencies are links into the running environment.

    Links are made only for what the wheel's own metadata asks for, so a forgotten requirement
    fails here as it would on a user's machine.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site_packages = next(folder.glob("lib/python*/site-packages"))
    with ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    (metadata,) = site_packages.glob("lightclient-*.dist-info")
    requirements = importlib.metadata.Distribution.at(metadata).requires or []
    for name in _closure(requirements, extra):
        for file in importlib.metadata.distribution(name).files or []:
            top = file.parts[0]
            source, link = Path(str(file.locate())), site_packages / top
            if top not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(
                    source.parents[len(file.parts) - 2] if len(file.parts) > 1 else source
                )
    (entry,) = importlib.metadata.Distribution.at(metadata).entry_points.select(
        group="console_scripts"
    )
    script = folder / "bin" / entry.name
    script.write_text(
        f"#!{folder}/bin/python\nimport sys\nfrom {entry.module} import {entry.attr}\n"
        f"sys.exit({entry.attr}())\n"
    )
    script.chmod(0o755)
    return Installed(folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tracked folders so that the checkout stays clean."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ["pyproject.toml", "LICENSE", "README.md", "lightclient", "cli"]:
        if (CHECKOUT / name).exists():
            (source / name).symlink_to(CHECKOUT / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_holds_both_packages_typed_and_nothing_named_cli(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(FOLDERS)
    assert "lightclient/py.typed" in names
    assert "lightclient_cli/py.typed" in names
    shipped = {
        "/".join([*_package_of(path.parent).split("."), path.name]) for path in _shipped_files()
    }
    assert shipped <= set(names)


@pytest.mark.slow
def test_the_wheel_runs_the_demo_and_everything_else_in_an_empty_environment(
    wheel: Path, tmp_path: Path
) -> None:
    pytest.importorskip("lightclient_cli.main")
    installed = _install(wheel, tmp_path / "bare", "")
    version = installed.run("nimbus-light-client", "--version")
    assert (version.returncode, PYPROJECT["project"]["version"] in version.stdout) == (0, True)
    for command in ["verify", "spec-tests"]:
        assert installed.run("nimbus-light-client", command, "--help").returncode == 0
    done = installed.run("nimbus-light-client", "demo", timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# --- what an import costs -------------------------------------------------------------------------


def test_importing_the_library_loads_no_network_screen_or_simulator_code() -> None:
    heavy = ["httpx", "anyio", "rich", "click", "libp2p", "starlette", "hypercorn", "remerkleable"]
    program = (
        "import sys, lightclient\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]\n"
        "loaded += [name for name in sys.modules if name.startswith('lightclient.simulator')]\n"
        "print(*loaded)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.split() == []


def test_no_module_named_cli_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import cli"], cwd="/", capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError" in done.stderr
