"""What the playground loads: Pyodide, a parser for shell, and the program itself, as files that the site serves."""

from __future__ import annotations

import io
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path

from kvroles.errors import NoSource

from kvworkshop import npm

SERVED = Path("assets") / "playground"  # below docs/
BUNDLE = "kvroles.zip"
PYODIDE = npm.Package("pyodide", "314.0.7", "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0")
PARSER = npm.Package("web-tree-sitter", "0.27.2", "0b1d1b2edcc1476c7b1710a2a4589eef9ca9cf461baa50f89956d57530964362")
SHELL = npm.Package("tree-sitter-bash", "0.25.1", "d4b2819508ea97cb8953fff7e304a610d443007bd395c8f03a15de9a8ae4a6f9")
PARTS = {
    PYODIDE: ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "pyodide-lock.json", "python_stdlib.zip"],
    PARSER: ["web-tree-sitter.js", "web-tree-sitter.wasm"],
    SHELL: ["tree-sitter-bash.wasm"],
}
_PROGRAM = ("*.py", "evidence/**/*.py", "series/**/*.py", "tree/*.py", "migrate/**/*.py")  # below tools/kvroles
_BINDING = 'def language():\n    return "bash"\n'  # a grammar by its name: browser/tree_sitter.py asks the page for it


def provide(docs: Path, tools: Path, cache: Path) -> None:
    """Put all of it into ``docs``. Raises NoSource when something cannot be had, and then leaves nothing there."""
    remove(docs)
    made = {name: data for package, names in PARTS.items() for name, data in npm.files(package, cache, names).items()}
    made[BUNDLE] = bundle(tools)
    target = docs / SERVED
    target.mkdir(parents=True)
    for name, data in made.items():
        (target / name).write_bytes(data)


def remove(docs: Path) -> None:
    """Leave the playground out."""
    shutil.rmtree(docs / SERVED, ignore_errors=True)


def is_there(docs: Path) -> bool:
    """Whether ``provide`` has put it into ``docs``."""
    return (docs / SERVED / BUNDLE).is_file()


def bundle(tools: Path) -> bytes:
    """``migrate`` and PyYAML's Python as a zip archive, the same bytes for the same files. Raises NoSource without PyYAML."""
    files = {p.relative_to(tools).as_posix(): p for glob in _PROGRAM for p in (tools / "kvroles").glob(glob)}
    browser = tools / "kvworkshop" / "playground" / "browser"
    files |= {p.name: p for p in browser.glob("*.py") if p.name != "__init__.py"}
    found = find_spec("yaml")
    if found is None or found.origin is None:
        raise NoSource("PyYAML is not installed, which the playground takes along", fix="pip install -e '.[docs]'")
    files |= {f"yaml/{p.name}": p for p in Path(found.origin).parent.glob("*.py")}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
        for name, text in (("tree_sitter_bash/__init__.py", ""), ("tree_sitter_bash/_binding.py", _BINDING)):
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return out.getvalue()
