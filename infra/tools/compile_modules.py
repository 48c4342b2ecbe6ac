"""Puts bytecode in the place of modules: `python compile_modules.py FOLDER PLACE`.

Run by the interpreter that will read the bytecode, with nothing but its own library. One process, files
in order and a fixed hash seed give the same bytes each time; bytecode that is never checked against a
source knows no times. PLACE is where the folder will be: tracebacks name files there.
"""

from __future__ import annotations

import py_compile
import sys
from pathlib import Path


def compile_modules(folder: Path, place: str) -> None:
    """Every ``name.py`` below the folder becomes ``name.pyc``. Raises PyCompileError."""
    for source in sorted(folder.rglob("*.py")):
        py_compile.compile(
            str(source),
            cfile=str(source.with_suffix(".pyc")),
            dfile=f"{place}/{source.relative_to(folder)}",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        source.unlink()


if __name__ == "__main__":
    compile_modules(Path(sys.argv[1]), sys.argv[2])
