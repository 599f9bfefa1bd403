"""JSON and TOML that nest without end: no reader of ours ends in a traceback or a crash, whoever wrote the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.contract import clauses
from kvroles.errors import Exit
from support import oci, wheels
from support.driver import Ran, script
from support.files import put, snapshot
from support.tiny import Tiny

pytestmark = pytest.mark.slow

DEEP = 200_000
BOMBS = {
    "lists": b"[" * DEEP,
    "closed lists": b"[" * DEEP + b"]" * DEEP,
    "objects": b'{"a":' * DEEP,
    "below a known key": b'{"schema": 1, "files": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "a number of a million digits": b'{"schema": ' + b"9" * 1_000_000 + b"}",
}
INFO = "vllm-0.22.1.dist-info"


@pytest.fixture
def run(tiny: Tiny, tmp_path: Path) -> Callable[..., Ran]:
    def run(tool: str, *argv: str | Path) -> Ran:
        ran = script(tiny.root / "tools" / f"{tool}.py", *argv, cwd=tmp_path)
        assert "Traceback" not in ran.err
        assert ran.code in set(Exit), ran
        return ran

    return run


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_receipt_of_a_tree_crashes_what_reads_it(
    run: Callable[..., Ran], tiny: Tiny, tmp_path: Path, bomb: str
) -> None:
    tree = tmp_path / "tree"
    run("apply", "--vllm-rev", "0.22.1", "--output", tree, "--cache-dir", tiny.cache, "--offline").ok()
    (tree / ".kv-roles/receipt.json").write_bytes(BOMBS[bomb])
    for more in (("--check",), ("--reverse", "--check"), ()):
        run("apply", "--into", tree, *more)


@pytest.mark.parametrize("bomb", ["closed lists", "a number of a million digits"])
@pytest.mark.parametrize("name", ["kv-roles/receipt.json", "direct_url.json"])
def test_no_file_in_dist_info_crashes_what_reads_it(
    run: Callable[..., Ran], tmp_path: Path, bomb: str, name: str
) -> None:
    site = wheels.installed(tmp_path / "env", wheels.make(tmp_path / "in"))
    put(site, {f"{INFO}/{name}": BOMBS[bomb]})
    before = snapshot(site)
    for verb in ("verify", "uninstall"):
        assert run("vendor", verb, "--site-packages", site).code == 3 or name == "direct_url.json"
    assert snapshot(site) == before


@pytest.mark.parametrize("bomb", BOMBS)
def test_no_manifest_of_an_image_crashes_what_reads_it(run: Callable[..., Ran], tmp_path: Path, bomb: str) -> None:
    made = oci.Layout(tmp_path / "base")
    for number, media in enumerate((oci.MANIFEST, oci.INDEX)):
        base = made.name(made.put(BOMBS[bomb], media))
        run("vendor", "oci", "--vllm-rev", "0.22.1", "--base", base).refused(3, "base")
        config = made.put(BOMBS[bomb] + b" " * number, oci.CONFIG)
        manifest = {"schemaVersion": 2, "config": config, "layers": []}
        base = made.name(made.put(json.dumps(manifest).encode(), oci.MANIFEST))
        assert run("vendor", "oci", "--vllm-rev", "0.22.1", "--base", base).code in (2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * DEEP,
        "[" + "a." * DEEP + "b]\n",
        "a" + ".a" * DEEP + " = 1\n",
        "a = " + "{a=" * DEEP,
        f'[side]\n"a:{"9" * 5000}" = "prefill"\n',
        f'[both]\n"a:{"9" * 5000}" = "why"\n',
        f"exclude = {'9' * 5000}\n",
    ],
    ids=["lists", "table", "key", "tables", "line of a side", "line of both", "number"],
)
def test_no_settings_crash_what_reads_them(tmp_path: Path, text: str) -> None:
    tools = Path(__file__).resolve().parents[3] / "tools"
    (tmp_path / "x.yaml").write_text("kv_role: kv_both\n")
    for name, whole in ((".kv-roles.toml", text), ("pyproject.toml", f"[tool.kv-roles]\n{text}")):
        (tmp_path / name).write_text(whole)
        ran = script(tools / "migrate.py", "--check", tmp_path, cwd=tmp_path)
        assert "Traceback" not in ran.err
        assert ran.code in (1, 2), ran
        (tmp_path / name).unlink()


def test_no_json_in_a_script_crashes_the_contract() -> None:
    text = b'vllm serve --kv-transfer-config \'{"kv_connector":"NixlConnector","x":' + b"[" * DEEP + b"'\n"
    assert [line for line, _ in clauses._broken_json(text)] == [1]
