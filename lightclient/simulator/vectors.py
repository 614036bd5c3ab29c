"""Makes our own test vectors anew: ``python -m lightclient.simulator.vectors OUT_DIR``.

Replaces ``OUT_DIR/tests`` and nothing else. ``vectors/README.md`` tells the format.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from lightclient.simulator.vector_cases import write_all


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m lightclient.simulator.vectors OUT_DIR\n")
        return 2
    root = Path(arguments[0])
    shutil.rmtree(root / "tests", ignore_errors=True)
    write_all(root)
    files = [path for path in (root / "tests").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    sys.stdout.write(f"{len(files)} files, {size} bytes in {root / 'tests'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
