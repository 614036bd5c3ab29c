"""Which backend is chosen, and that one which cannot work is never even imported."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from lightclient.bls import (
    BACKEND_NAMES,
    BACKEND_VARIABLE,
    Backend,
    available_backends,
    backend_by_name,
    choose_backend,
    cpu,
    selection,
    why_unusable,
)
from lightclient.errors import BlsError

PACKAGES = {
    "blst": "pyblst",
    "arkworks": "py_arkworks_bls12381",
    "milagro": "milagro_bls_binding",
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts as a new process would, without the environment's wish."""
    monkeypatch.setattr(selection, "_ready", {})
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)


def _without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """As if these backends' packages were not installed."""
    for name in names:
        monkeypatch.setitem(sys.modules, PACKAGES[name], None)


def _run(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_the_room_imports_no_native_package() -> None:
    result = _run(
        "import sys, lightclient.bls\n"
        f"print([name for name in {sorted(PACKAGES.values())!r} if name in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("filters", [("-W", "error"), ("-W", "always"), ()])
def test_milagros_deprecation_warning_never_shows(filters: tuple[str, ...]) -> None:
    if (reason := why_unusable("milagro")) is not None:
        pytest.skip(reason)
    result = _run(
        "from lightclient.bls import choose_backend\n"
        "backend = choose_backend('milagro')\n"
        "print(backend.verify(backend.sk_to_pk(3), b'', backend.sign(3, b'')))",
        *filters,
    )
    assert (result.stdout.strip(), result.stderr) == ("True", "")


def test_a_named_backend_is_the_one_given(backend: Backend) -> None:
    chosen = choose_backend(backend.name)
    assert chosen.name == backend.name
    assert choose_backend(backend.name) is chosen
    assert backend_by_name(backend.name) is chosen
    assert isinstance(chosen, Backend)


def test_the_fastest_usable_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    usable = [backend.name for backend in available_backends()]
    assert usable == [name for name in BACKEND_NAMES if why_unusable(name) is None]
    for position, name in enumerate(usable):
        monkeypatch.setattr(selection, "_ready", {})
        _without(monkeypatch, *usable[:position])
        assert choose_backend().name == name


def test_the_environment_chooses_unless_a_name_is_given(
    monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    monkeypatch.setenv(BACKEND_VARIABLE, backend.name)
    assert choose_backend().name == backend.name
    for other in available_backends():
        assert choose_backend(other.name).name == other.name


def test_an_empty_environment_variable_means_the_automatic_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(BACKEND_VARIABLE, " ")
    assert choose_backend().name == available_backends()[0].name


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for ask in (choose_backend, backend_by_name):
        with pytest.raises(BlsError, match=r"unknown BLS backend 'herumi'.*milagro"):
            ask("herumi")
    monkeypatch.setenv(BACKEND_VARIABLE, "herumi")
    with pytest.raises(BlsError, match=f"{BACKEND_VARIABLE}.*unknown BLS backend"):
        choose_backend()


@pytest.mark.parametrize("name", BACKEND_NAMES)
def test_a_missing_package_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(selection._CHOICES, "blst", _allowed(selection._CHOICES["blst"]))
    _without(monkeypatch, name)
    with pytest.raises(BlsError, match="pip install"):
        choose_backend(name)
    assert "needs the package" in (why_unusable(name) or "")
    assert name not in [backend.name for backend in available_backends()]
    if name != "milagro":
        assert 'pip install "lightclient[fast]"' in (why_unusable(name) or "")


def test_with_no_package_at_all_every_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, *BACKEND_NAMES)
    with pytest.raises(BlsError, match="no signature backend is usable") as caught:
        choose_backend()
    for name in BACKEND_NAMES:
        assert name in str(caught.value)
    assert available_backends() == []


def _allowed(choice: Any) -> Any:
    return choice._replace(obstacle=lambda: None)


def _pretend_linux(
    monkeypatch: pytest.MonkeyPatch, path: Path, machine: str, cpuinfo: str | None
) -> None:
    monkeypatch.setattr(cpu.platform, "system", lambda: "Linux")
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    file = path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo, encoding="ascii")
    monkeypatch.setattr(cpu, "_CPUINFO", file)


def test_a_processor_without_adx_never_imports_blst(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _pretend_linux(monkeypatch, tmp_path, "x86_64", "flags\t\t: fpu bmi1 bmi2 avx2\n")
    imported: list[str] = []
    real_import = importlib.import_module

    def spy(name: str, package: str | None = None) -> types.ModuleType:
        imported.append(name)
        return real_import(name, package)

    monkeypatch.setattr(selection.importlib, "import_module", spy)
    with pytest.raises(BlsError, match=r"blst cannot be used: the processor lacks ADX"):
        choose_backend("blst")
    assert "blst" not in [backend.name for backend in available_backends()]
    assert "pyblst" not in imported


LINUX = {
    "both": ("x86_64", "processor\t: 0\nflags\t\t: fpu adx bmi2\n", None),
    "no bmi2": ("x86_64", "flags\t\t: fpu adx\n", "lacks BMI2"),
    "neither": ("x86_64", "flags\t\t: fpu badx bmi22\n", "lacks ADX and BMI2"),
    "one core of two": ("x86_64", "flags : adx bmi2\n\nflags : bmi2\n", "lacks ADX"),
    "no flags at all": ("x86_64", "vendor_id : none\n", "cannot be read"),
    "empty": ("x86_64", "", "cannot be read"),
    "no /proc": ("x86_64", None, "cannot be read"),
    "adx elsewhere": ("x86_64", "model name : adx bmi2\nflags : fpu\n", "lacks ADX and BMI2"),
    "arm with sha2": ("aarch64", "Features\t: fp asimd aes sha1 sha2\n", None),
    "arm without": ("aarch64", "Features\t: fp asimd crc32\n", "lacks SHA2"),
    "another one": ("riscv64", "isa : rv64\n", "no builds for riscv64"),
    "unknown": ("", "", "no builds for this"),
}


@pytest.mark.parametrize(("machine", "cpuinfo", "obstacle"), LINUX.values(), ids=LINUX)
def test_linux_is_asked_for_the_processors_features(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    machine: str,
    cpuinfo: str | None,
    obstacle: str | None,
) -> None:
    _pretend_linux(monkeypatch, tmp_path, machine, cpuinfo)
    answer = cpu.blst_obstacle()
    assert answer is None if obstacle is None else obstacle in (answer or "")


MACOS = {
    "apple processor": ("arm64", None, None),
    "intel with both": ("x86_64", b"RDWRFSGS BMI1 AVX2 BMI2 ADX SMAP\n", None),
    "intel without adx": ("x86_64", b"RDWRFSGS BMI1 AVX2 BMI2\n", "lacks ADX"),
    "no sysctl": ("x86_64", None, "cannot be read"),
}


@pytest.mark.parametrize(("machine", "answer", "obstacle"), MACOS.values(), ids=MACOS)
def test_macos_is_asked_for_the_processors_features(
    monkeypatch: pytest.MonkeyPatch, machine: str, answer: bytes | None, obstacle: str | None
) -> None:
    def sysctl(*arguments: Any, **options: Any) -> Any:
        if answer is None:
            raise FileNotFoundError
        return types.SimpleNamespace(stdout=answer)

    monkeypatch.setattr(cpu.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(subprocess, "run", sysctl)
    found = cpu.blst_obstacle()
    assert found is None if obstacle is None else obstacle in (found or "")


@pytest.mark.parametrize("system", ["Windows", "FreeBSD", ""])
def test_where_the_processor_cannot_be_asked_blst_is_not_used(
    monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(cpu.platform, "system", lambda: system)
    monkeypatch.setattr(cpu.platform, "machine", lambda: "AMD64")
    assert "no safe way" in (cpu.blst_obstacle() or "")


class _Panic(BaseException):
    """What a panic in a native module looks like: no Exception."""


@pytest.mark.parametrize("fault", [ImportError("undefined symbol"), OSError("bad ELF"), _Panic()])
def test_a_package_that_cannot_be_imported_is_an_error(
    monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def broken(name: str) -> types.ModuleType:
        raise fault

    monkeypatch.setattr(selection.importlib, "import_module", broken)
    with pytest.raises(BlsError, match="arkworks cannot be imported"):
        backend_by_name("arkworks")


def test_an_interrupt_during_the_import_stays_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> types.ModuleType:
        raise KeyboardInterrupt

    monkeypatch.setattr(selection.importlib, "import_module", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backend_by_name("arkworks")


@pytest.mark.parametrize("name", BACKEND_NAMES)
def test_a_package_of_that_name_with_other_contents_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(selection._CHOICES, name, _allowed(selection._CHOICES[name]))
    monkeypatch.setitem(sys.modules, PACKAGES[name], types.ModuleType(PACKAGES[name]))
    with pytest.raises(BlsError, match=f"{name} does not work"):
        backend_by_name(name)


def test_a_library_that_accepts_everything_fails_the_self_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credulous: Any = types.ModuleType("milagro_bls_binding")
    credulous.Verify = lambda key, message, signature: True
    credulous._AggregatePKs = lambda keys: keys[0]
    monkeypatch.setitem(sys.modules, "milagro_bls_binding", credulous)
    with pytest.raises(BlsError, match="self-test"):
        backend_by_name("milagro")


def test_a_library_that_refuses_everything_fails_the_self_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing: Any = types.ModuleType("milagro_bls_binding")
    refusing.Verify = lambda key, message, signature: False
    refusing._AggregatePKs = lambda keys: keys[0]
    monkeypatch.setitem(sys.modules, "milagro_bls_binding", refusing)
    with pytest.raises(BlsError, match="self-test"):
        backend_by_name("milagro")
    assert "milagro" not in [backend.name for backend in available_backends()]
