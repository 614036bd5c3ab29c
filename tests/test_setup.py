"""``.ci/setup`` and ``make``: every way that set-up can fail is said in a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="make and .ci/setup need a POSIX shell")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout with what set-up reads and no environment."""
    root = tmp_path / "check out"
    (root / ".ci").mkdir(parents=True)
    shutil.copy(CHECKOUT / ".ci" / "setup", root / ".ci" / "setup")
    for name in ["pyproject.toml", "Makefile", "LICENSE", "README.md"]:
        if (CHECKOUT / name).exists():
            shutil.copy(CHECKOUT / name, root / name)
    return root


def _fake_python(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(0o755)
    return path


def _setup(
    root: Path, path: str, timeout: float = 240, level: str = "demo", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / ".ci" / "setup"), level],
        cwd="/",
        env={"PATH": path, "HOME": str(root), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A PATH with the shell tools that set-up uses and no Python."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in ["sh", "cat", "dirname", "rm", "grep", "tail"]:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return str(folder)


def test_a_machine_without_python_is_told_to_install_one(copy: Path, tools: str) -> None:
    assert "no Python found; install Python 3.11 or newer" in _one_sentence(_setup(copy, tools))


def test_a_python_too_old_is_named_with_its_version(copy: Path, tools: str, tmp_path: Path) -> None:
    old = tmp_path / "old"
    _fake_python(old, "python3", 'case "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac\n')
    line = _one_sentence(_setup(copy, f"{old}:{tools}"))
    assert "Python 3.11 or newer is needed, and python3 is Python 3.9" in line


def test_a_python_without_venv_says_which_debian_package_has_it(
    copy: Path, tools: str, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    _fake_python(
        bare, "python3", 'case "$2" in *ensurepip*) exit 1 ;; *print*) echo 3.12 ;; esac\n'
    )
    line = _one_sentence(_setup(copy, f"{bare}:{tools}"))
    assert "apt-get install python3-venv" in line


def test_a_python_that_was_named_but_does_not_run_is_refused(copy: Path, tools: str) -> None:
    line = _one_sentence(_setup(copy, tools, PYTHON="/nowhere/python3.12"))
    assert "PYTHON=/nowhere/python3.12 cannot be run" in line


@pytest.fixture
def pretender(copy: Path, tools: str) -> str:
    """A PATH whose Python makes environments in no time and whose pip writes down its calls.

    Its pip fails, for want of a wheel, where the file ``no-wheel`` holds a word of the call.
    """
    calls, no_wheel = copy / "calls", copy / "no-wheel"
    no_wheel.touch()
    inner = _fake_python(
        copy,
        "inner",
        f'[ "$1 $2" = "-m pip" ] || exec "{sys.executable}" "$@"\n'
        f'for last; do :; done\necho "$last" >>"{calls}"\n'
        f'for word in $(cat "{no_wheel}"); do case "$last" in *$word*) exit 1 ;; esac; done\n',
    )
    for tool in ["mkdir", "cp"]:
        Path(tools, tool).symlink_to(str(shutil.which(tool)))
    _fake_python(
        copy / "bin",
        "python3",
        f'[ "$1 $2" = "-m venv" ] || exec "{sys.executable}" "$@"\n'
        f'echo venv >>"{calls}"; mkdir -p "$4/bin"; cp "{inner}" "$4/bin/python"\n',
    )
    return f"{copy / 'bin'}:{tools}"


def _calls(root: Path) -> list[str]:
    return (root / "calls").read_text().split()


def test_a_finished_set_up_rests_until_pyproject_asks_for_something_else(
    copy: Path, pretender: str
) -> None:
    first = ["venv", ".[demo,fast]"]
    for _ in range(2):
        assert _setup(copy, pretender).returncode == 0
        assert _calls(copy) == first
    pyproject = copy / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text.replace("line-length = 100", "line-length = 99"))
    assert _setup(copy, pretender).returncode == 0
    assert _calls(copy) == first
    pyproject.write_text(text.replace('"rich>=', '"rich>=1,>='))
    assert _setup(copy, pretender).returncode == 0
    assert _calls(copy) == [*first, ".[demo,fast]"]


def test_a_checkout_that_moved_gets_a_new_environment(
    copy: Path, pretender: str, tmp_path: Path
) -> None:
    assert _setup(copy, pretender).returncode == 0
    moved = tmp_path / "moved"
    shutil.copytree(copy / ".venv", moved / ".venv")
    shutil.copytree(copy / ".ci", moved / ".ci")
    shutil.copy(copy / "pyproject.toml", moved)
    assert _setup(moved, pretender).returncode == 0
    assert _calls(copy) == ["venv", ".[demo,fast]", "venv", ".[demo,fast]"]


def test_a_platform_without_fast_wheels_gets_the_standard_backend(
    copy: Path, pretender: str
) -> None:
    (copy / "no-wheel").write_text("fast")
    done = _setup(copy, pretender)
    assert done.returncode == 0
    assert "using the standard one" in done.stderr
    assert _calls(copy) == ["venv", ".[demo,fast]", ".[demo]"]


def test_a_failed_installation_is_tried_again_next_time(copy: Path, pretender: str) -> None:
    (copy / "no-wheel").write_text("demo")
    done = _setup(copy, pretender)
    assert done.returncode == 1
    assert "pip could not install what pyproject.toml asks for" in done.stderr
    (copy / "no-wheel").write_text("")
    assert _setup(copy, pretender).returncode == 0
    assert _calls(copy) == ["venv", ".[demo,fast]", ".[demo]", ".[demo,fast]"]


# What the extra [libp2p] is built with ------------------------------------------------------------


@pytest.fixture
def bare(copy: Path, pretender: str) -> str:
    """The pretender's PATH, where nobody has built anything: Python has its headers, no library."""
    inner = (copy / "inner").read_text()
    (copy / "headers").mkdir()
    (copy / "headers" / "Python.h").touch()
    lines = inner.splitlines(keepends=True)
    lines[1:1] = [
        'case "$2" in\n',
        "*fastecdsa*) exit 1 ;;\n",
        f'*sysconfig*) echo "{copy / "headers"}"; exit ;;\n',
        '*"(3, 14)"*) exit 0 ;;\n',
        "esac\n",
    ]
    (copy / "inner").write_text("".join(lines))
    return pretender


def _compiler(folder: Path, *, works: bool) -> None:
    _fake_python(folder / "bin", "cc", f"cat >/dev/null\nexit {0 if works else 1}\n")


def _said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "[libp2p]" in line]
    return line


@pytest.mark.parametrize(
    ("lacking", "named"),
    [
        ("compiler", ["C compiler", "Debian", "Fedora", "gcc", "xcode-select --install"]),
        ("python", ["headers of Python", "python3-dev", "python3-devel", "macOS"]),
        ("gmp", ["headers of GMP", "libgmp-dev", "gmp-devel", "brew install gmp"]),
    ],
)
def test_without_what_libp2p_is_built_with_it_is_left_out_and_the_package_is_named(
    copy: Path, bare: str, lacking: str, named: list[str]
) -> None:
    if lacking != "compiler":
        _compiler(copy, works=lacking != "gmp")
    if lacking == "python":
        (copy / "headers" / "Python.h").unlink()
    for _ in range(2):  # it is said each time that tests are run
        line = _said(_setup(copy, bare, level="test"))
        assert all(word in line for word in named)
        assert "its tests are skipped" in line
        assert _calls(copy) == ["venv", ".[demo,dev,fast]"]


def test_libp2p_is_installed_where_it_can_be_built_and_once_it_can(copy: Path, bare: str) -> None:
    _compiler(copy, works=False)
    assert _setup(copy, bare, level="test").returncode == 0
    _compiler(copy, works=True)
    for _ in range(2):
        done = _setup(copy, bare, level="test")
        assert done.returncode == 0
        assert "[libp2p]" not in done.stderr
        assert _calls(copy) == ["venv", ".[demo,dev,fast]", ".[demo,dev,libp2p,fast]"]


def test_a_demo_needs_nothing_of_all_that(copy: Path, bare: str) -> None:
    done = _setup(copy, bare)
    assert done.returncode == 0
    assert "[libp2p]" not in done.stderr
    assert _calls(copy) == ["venv", ".[demo,fast]"]


def test_where_libp2p_cannot_be_built_after_all_the_rest_is_installed(
    copy: Path, bare: str
) -> None:
    _compiler(copy, works=True)
    (copy / "no-wheel").write_text("libp2p")
    for _ in range(2):
        assert "could not be built" in _said(_setup(copy, bare, level="test"))
        assert _calls(copy)[-1] == ".[demo,dev,fast]"
        assert len(_calls(copy)) == 4, "what failed is not tried again at every run"


def test_the_readme_names_the_packages_that_set_up_names() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    for words in (
        "apt-get install gcc python3-dev libgmp-dev",
        "dnf install gcc python3-devel gmp-devel",
        "xcode-select --install",
        "brew install gmp",
    ):
        assert words in readme


@pytest.mark.slow
def test_a_package_index_out_of_reach_is_said_in_a_sentence_and_leaves_no_stamp(
    copy: Path,
) -> None:
    done = _setup(
        copy,
        os.environ["PATH"],
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="http://127.0.0.1:9/simple",
        PIP_CACHE_DIR=str(copy / "cache"),
    )
    assert done.returncode == 1
    announcement, sentence = done.stderr.splitlines()
    assert announcement.startswith("Setting up .venv with Python 3.")
    assert "pip cannot reach the Python package index" in sentence
    assert list((copy / ".venv").glob(".installed-*")) == []


def test_make_alone_lists_what_there_is(copy: Path) -> None:
    done = subprocess.run(["make", "-C", str(copy)], capture_output=True, text=True, check=True)
    for target in ["demo", "test", "lint", "bench", "vectors", "clean"]:
        assert f"make {target} " in done.stdout
