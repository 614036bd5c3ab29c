"""Whether this processor has the instructions that ``pyblst``'s builds use without asking.

Importing it is harmless, computing is not: on x86-64 without ADX and BMI2 the process would die of
an illegal instruction, which no ``except`` can catch. So the answer must come first, from the
operating system, and where it gives none the answer is no.
"""

from __future__ import annotations

import platform
from pathlib import Path

_X86_64 = ("x86_64", "amd64")
_ARM64 = ("aarch64", "arm64")
_CPUINFO = Path("/proc/cpuinfo")


def blst_obstacle() -> str | None:
    """Why ``pyblst`` must not be used on this machine, as a clause; None where it may be."""
    machine = platform.machine().lower()
    if machine not in _X86_64 + _ARM64:
        return f"it has no builds for {machine or 'this'} processors"
    system = platform.system()
    if system == "Linux":
        required = ("adx", "bmi2") if machine in _X86_64 else ("sha2",)
        return _lacking(required, _linux_features())
    if system == "Darwin":
        # Every ARM processor that Apple sells has what the build uses.
        return None if machine in _ARM64 else _lacking(("adx", "bmi2"), _macos_features())
    return f"there is no safe way to ask {system or 'this system'} for the processor's features"


def _lacking(required: tuple[str, ...], features: frozenset[str] | None) -> str | None:
    if features is None:
        return "the processor's features cannot be read here"
    missing = [feature.upper() for feature in required if feature not in features]
    return f"the processor lacks {' and '.join(missing)}" if missing else None


def _linux_features() -> frozenset[str] | None:
    """The features that every processor listed in /proc/cpuinfo has, lower case."""
    try:
        text = _CPUINFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    common: frozenset[str] | None = None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            features = frozenset(value.lower().split())
            common = features if common is None else common & features
    return common


def _macos_features() -> frozenset[str] | None:
    """The extended features that sysctl names, lower case; under Rosetta there are none."""
    import subprocess  # here, for no other system pays for it on import

    try:
        answer = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "machdep.cpu.leaf7_features"],
            capture_output=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return frozenset(answer.stdout.decode("ascii", "replace").lower().split())
