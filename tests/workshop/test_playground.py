"""The playground's bundle: migrate runs from it alone, over trees that another parser than Python's own hands over."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tree_sitter
import tree_sitter_bash
from kvroles.errors import KvRolesError
from kvroles.migrate import run
from kvroles.migrate.settings import Options, Settings
from kvworkshop import npm
from kvworkshop.playground import page, provide
from support import docs

CORPUS = docs.ROOT / "tests" / "corpus"
READ = [*sorted(CORPUS.glob("shell/*.sh")), *sorted(CORPUS.glob("k8s/*.yaml")), *sorted(CORPUS.glob("docs/*.md"))]

# What the page's script gives the bundle's ``tree_sitter``: here the trees of the compiled one, as lists.
STAND_IN = """\
import importlib.util, json, sys, types
bundle, binding, bash = sys.argv[1:4]
sys.path.insert(0, bundle)

def compiled(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

real = compiled("_binding", binding)
grammar = compiled("_binding", bash)

class Handed:
    def __init__(self, value):
        self.value = value
    def to_py(self):
        return self
    def tolist(self):
        return self.value
    def __getitem__(self, n):
        return self.value[n]

def parse(source):
    kinds, fields, figures = [], [], []
    def number(names, name):
        if name is None:
            return -1
        if name not in names:
            names.append(name)
        return names.index(name)
    cursor = real.Parser(real.Language(grammar.language())).parse(source.encode()).walk()
    def visit(depth):
        n = cursor.node
        figures.extend([number(kinds, n.type), n.start_byte, n.end_byte, *n.start_point, *n.end_point, int(n.is_named),
                        number(fields, cursor.field_name), depth])
        if cursor.goto_first_child():
            visit(depth + 1)
            while cursor.goto_next_sibling():
                visit(depth + 1)
            cursor.goto_parent()
    visit(0)
    return types.SimpleNamespace(kinds=Handed(kinds), fields=Handed(fields), figures=Handed(figures))

sys.modules["kv_grammars"] = types.SimpleNamespace(bash=parse)
import entry
for name, text in json.load(sys.stdin):
    print(entry.migrate(name, text))
"""


def _compiled(package: object) -> str:
    (found,) = Path(str(package.__file__)).parent.glob("_binding*.so")  # type: ignore[attr-defined]
    return str(found)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(io.BytesIO(provide.bundle(docs.ROOT / "tools"))) as archive:
        archive.extractall(folder)
    return folder


def _read(bundle: Path, texts: list[tuple[str, str]]) -> list[dict[str, object]]:
    """What the bundle says of each text, in a Python that has nothing but its own library and the bundle."""
    done = subprocess.run(
        [sys.executable, "-ISc", STAND_IN, str(bundle), _compiled(tree_sitter), _compiled(tree_sitter_bash)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
        cwd=bundle,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_bundle_gives_the_verdicts_of_the_command_line(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [(p.relative_to(CORPUS).as_posix(), p.read_text(encoding="utf-8")) for p in READ]
    read = 0
    for (name, text), made in zip(texts, _read(bundle, texts), strict=True):
        if made["unread"]:
            continue
        result = run.of_bytes(name, name, text.encode(), Options(Settings()))
        wanted = [(f.line, f.column, f.code, f.role) for f in result.findings] if result is not None else []
        assert [(f["line"], f["column"], f["code"], f["role"]) for f in made["findings"]] == wanted, name  # type: ignore[index,union-attr,attr-defined]
        read += 1
    assert read > 80


def test_what_takes_a_parser_that_is_not_there_is_said_to(bundle: Path) -> None:
    (made,) = _read(bundle, [("a.py", 'x = "kv_both"\n')])
    assert (made["unread"], made["findings"], made["summary"]) == ("python", [], "")


def test_the_bundle_is_the_same_bytes_each_time() -> None:
    assert provide.bundle(docs.ROOT / "tools") == provide.bundle(docs.ROOT / "tools")


def test_a_page_without_the_parts_has_no_form() -> None:
    assert "<form" in page.fragment(there=True)
    assert "<form" not in page.fragment(there=False)


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "npm").mkdir(mode=0o700)
    (tmp_path / "npm" / provide.PYODIDE.file).write_bytes(b"another")
    with pytest.raises(KvRolesError, match="not what was pinned") as e:
        npm.files(provide.PYODIDE, tmp_path, ["pyodide.mjs"])
    assert e.value.code == 3


def test_without_npm_nothing_is_left_half_provided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "docs").mkdir()
    with pytest.raises(KvRolesError, match="npm") as e:
        provide.provide(tmp_path / "docs", docs.ROOT / "tools", tmp_path / "cache")
    assert e.value.code == 4
    assert not provide.is_there(tmp_path / "docs")
