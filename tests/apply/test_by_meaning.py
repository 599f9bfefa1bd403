"""A file that no variant's text fits: its roles are given by what it says, and proven, or it is refused with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from kvroles.apply import meaning
from kvroles.apply.unclear import Unclear
from kvroles.series.patchfile import FilePatch, Hunk
from support import tiny as project
from support.driver import Ran
from support.files import put
from support.tiny import Tiny

Apply = Callable[..., Ran]
Untouched = Callable[..., None]
SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "data" / "receipt.schema.json"


@pytest.fixture
def fork(tree: Path) -> Path:
    """A tree whose script has a flag of its own beside the config, so that no variant's text stands in it."""
    (tree / "PKG-INFO").unlink()
    script = tree / project.SCRIPT
    script.write_bytes(script.read_bytes().replace(b"--kv-transfer-config '", b"--ours --kv-transfer-config '"))
    return tree


def test_a_script_is_given_the_roles_of_its_sides(apply: Apply, fork: Path) -> None:
    before = (fork / project.SCRIPT).read_bytes()
    said = apply("--into", fork).ok().out
    after = (fork / project.SCRIPT).read_bytes()
    assert after == before.replace(b"kv_both", b"kv_producer", 1).replace(b"kv_both", b"kv_consumer")
    assert f"{project.SCRIPT} (by meaning)" in said
    assert '+    --ours --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_producer"}\' &' in said


def test_the_receipt_keeps_the_change_and_says_which_variant_served_which_file(apply: Apply, fork: Path) -> None:
    apply("--into", fork).ok()
    receipt = json.loads((fork / ".kv-roles" / "receipt.json").read_bytes())
    jsonschema.validate(receipt, json.loads(SCHEMA.read_bytes()))
    assert receipt["variants"][project.SCRIPT] == "by meaning"
    assert receipt["variants"][project.UTILS] == "0.22.1"
    assert list(receipt["by_meaning"]) == [project.SCRIPT]


def test_a_second_run_finds_it_applied_and_reverse_takes_it_back(apply: Apply, fork: Path) -> None:
    before = {p: p.read_bytes() for p in fork.rglob("*") if p.is_file()}
    apply("--into", fork).ok()
    assert "nothing was changed" in apply("--into", fork).ok().out
    apply("--into", fork, "--reverse").ok()
    assert {p: p.read_bytes() for p in fork.rglob("*") if p.is_file() and ".kv-roles" not in p.parts} == before


def test_a_later_run_with_another_topic_keeps_the_change(apply: Apply, fork: Path) -> None:
    before = (fork / project.SCRIPT).read_bytes()
    apply("--into", fork).ok()
    apply("--into", fork, "--with", "fence").ok()
    apply("--into", fork, "--reverse").ok()
    assert (fork / project.SCRIPT).read_bytes() == before


def test_exact_refuses_what_no_variant_fits(apply: Apply, fork: Path, untouched: Untouched) -> None:
    untouched(lambda: apply("--into", fork, "--exact"), 1, project.SCRIPT, "hunk 1 does not fit")


def test_a_release_is_never_changed_by_meaning(apply: Apply, tree: Path, untouched: Untouched) -> None:
    script = tree / project.SCRIPT
    script.write_bytes(script.read_bytes().replace(b"--kv-transfer-config '", b"--ours --kv-transfer-config '"))
    untouched(lambda: apply("--into", tree), 1, project.SCRIPT, "hunk 1 does not fit")


def test_a_role_of_no_side_is_refused_with_its_line(apply: Apply, fork: Path, untouched: Untouched) -> None:
    script = fork / project.SCRIPT
    script.write_bytes(
        script.read_bytes().replace(b"start_prefill", b"start_one").replace(b"start_decode", b"start_two")
    )
    untouched(lambda: apply("--into", fork), 1, f"apply to {project.SCRIPT}", "nothing around kv_both says", "(line 7)")


# What is made of a file, kind by kind.

ONE = '{"kv_connector":"NixlConnector","kv_role":"ROLE"}'
SHARED = f'KV=\'{ONE}\'\n# Start prefill\nvllm serve A --c "$KV" &\n\n# Start decode\nvllm serve B --c "${{KV}}" &\n'
SPLIT = (
    f"PREFILL_KV='{ONE.replace('ROLE', 'kv_producer')}'\nDECODE_KV='{ONE.replace('ROLE', 'kv_consumer')}'\n"
    '# Start prefill\nvllm serve A --c "$PREFILL_KV" &\n\n# Start decode\nvllm serve B --c "${DECODE_KV}" &\n'
)
FENCE = f"# Guide\n\n```bash\nvllm serve A --kv-transfer-config '{ONE}'\n```\n"
NOTED = (
    '# Guide\n\n```bash\n# On a prefill instance; a decode instance takes "kv_role":"kv_consumer"\n'
    f"vllm serve A --kv-transfer-config '{ONE.replace('ROLE', 'kv_producer')}'\n```\n"
)
MADE = {
    "a variable that serves both sides": ("tests/a.sh", SHARED, SPLIT),
    "an example that stands for both sides": ("docs/a.md", FENCE, NOTED),
    "a sentence that stands for both sides": (
        "docs/a.md",
        f"Add `--c '{ONE}'`.\n",
        (
            f"Add `--c '{ONE.replace('ROLE', 'kv_producer')}'` on prefill instances and "
            f"`--c '{ONE.replace('ROLE', 'kv_consumer')}'` on decode instances.\n"
        ),
    ),
    "a unit test that names no side": (
        "tests/test_a.py",
        'f(kv_connector="NixlConnector", kv_role="ROLE")\n',
        'f(kv_connector="NixlConnector", kv_role="kv_consumer")\n',
    ),
    "a unit test of prefill": (
        "tests/test_a.py",
        'def test_prefill():\n    f(kv_connector="NixlConnector", kv_role="ROLE")\n',
        'def test_prefill():\n    f(kv_connector="NixlConnector", kv_role="kv_producer")\n',
    ),
    "the helper of the tests": (
        "tests/v1/kv_connector/unit/utils.py",
        'def create_vllm_config(\n    a: int = 1,\n):\n    return f(kv_connector="NixlConnector", kv_role="ROLE")\n',
        (
            'def create_vllm_config(\n    a: int = 1,\n    kv_role: str = "kv_consumer",\n):\n'
            '    return f(kv_connector="NixlConnector", kv_role=kv_role)\n'
        ),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_file_is_changed_by_meaning_as_a_person_would(name: str) -> None:
    path, before, after = MADE[name]
    assert meaning.change(path, before.replace("ROLE", "kv_both").encode()).decode() == after


# A variant's hunks, where not all of them fit: what they leave is read.

FUNCTION = (
    'KV=\'{"kv_connector":"NixlConnector","kv_role":"ROLE","new":1}\'\nrun() {\n  local kv=$1\n  # Start prefill\n'
    '  vllm serve A --c "$kv" &\n\n  # Start decode\n  vllm serve B --c "$kv" &\n}\nrun "$KV"\n'
)


def hunk(old: str, new: str) -> Hunk:
    return Hunk(1, 1, tuple(old.encode().splitlines(True)), tuple(new.encode().splitlines(True)))


def test_what_a_variant_s_fitting_hunks_leave_is_read() -> None:
    two = "  local prefill_kv=$1\n  local decode_kv=${1/kv_producer/kv_consumer}\n"
    patch = FilePatch(
        "tests/a.sh",
        (hunk('KV=\'{"kv_role":"kv_both"}\'\n', 'KV=\'{"kv_role":"kv_producer"}\'\n'), hunk("  local kv=$1\n", two)),
    )
    made = meaning.change("tests/a.sh", FUNCTION.replace("ROLE", "kv_both").encode(), [patch]).decode()
    want = FUNCTION.replace("ROLE", "kv_producer").replace("  local kv=$1\n", two)
    want = want.replace('A --c "$kv"', 'A --c "$prefill_kv"').replace('B --c "$kv"', 'B --c "$decode_kv"')
    assert made == want


def test_a_change_by_half_is_refused() -> None:
    patch = FilePatch("tests/a.sh", (hunk("  local kv=$1\n", "  local prefill_kv=$1\n"),))
    with pytest.raises(Unclear, match=r"serves both sides"):
        meaning.change("tests/a.sh", FUNCTION.replace("ROLE", "kv_both").encode(), [patch])


REFUSED = {
    "a use of no side": (
        "tests/a.sh",
        f"KV='{ONE}'\nvllm serve A --c \"$KV\" &\n",
        2,
        "nothing says which of them this use is of",
    ),
    "a use that is not read": ("tests/a.sh", SHARED + "export KV\n", 7, "in a way that is not read"),
    "a block of JSON": ("docs/a.md", FENCE.replace("bash", "json"), 4, "a json block takes no comment"),
    "Python of no test": (
        "examples/a.py",
        'f(kv_connector="NixlConnector", kv_role="ROLE")\n',
        1,
        "nothing around kv_both",
    ),
    "both sides in one test": (
        "tests/a.sh",
        f"start_prefill_and_decode() {{\n  vllm serve A --c '{ONE}'\n}}\n",
        2,
        "nothing around kv_both",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_certain_is_refused_with_its_line(name: str) -> None:
    path, text, line, why = REFUSED[name]
    with pytest.raises(Unclear) as e:
        meaning.change(path, text.replace("ROLE", "kv_both").encode())
    assert (e.value.line, why in e.value.why) == (line, True), e.value.why


def test_the_warning_stands_in_the_base_class_that_takes_the_config(tiny: Tiny) -> None:
    source = (
        b"logger = init_logger(__name__)\n\n\nclass Base:\n    def __init__(self, vllm_config):\n"
        b"        super().__init__(vllm_config)\n        self.x = 1\n\n\nclass NixlPull(Base):\n    pass\n\n\n"
        b"NixlConnector = NixlPull\n"
    )
    made = meaning.change(project.CONNECTOR, source).decode()
    assert "        super().__init__(vllm_config)\n        if vllm_config.kv_transfer_config.kv_role ==" in made
    assert tiny.applied()[project.CONNECTOR].decode().count("kv_role='kv_both' is deprecated") == made.count(
        "is deprecated"
    )


def test_a_connector_without_a_logger_is_refused() -> None:
    with pytest.raises(Unclear, match="no logger"):
        meaning.change(project.CONNECTOR, b"class NixlConnector:\n    def __init__(self, vllm_config):\n        pass\n")


def test_a_fork_may_lack_files_that_no_topic_touches(apply: Apply, fork: Path) -> None:
    put(fork, {"notes.txt": b"kv_both is a word\n"})
    apply("--into", fork).ok()


def test_a_connector_that_is_a_parameter_has_an_explicit_role_where_it_is_nixl() -> None:
    before = b"""def config(kv_connector):
    return KVTransferConfig(kv_connector=kv_connector, kv_role="kv_both")


config(kv_connector="NixlConnector")
config(kv_connector="OffloadingConnector")
"""
    made = meaning.change("tests/v1/kv_connector/unit/test_config.py", before)
    roles: dict[str, str] = {}
    exec(made, {"KVTransferConfig": lambda kv_connector, kv_role: roles.update({kv_connector: kv_role})})
    assert roles == {"NixlConnector": "kv_consumer", "OffloadingConnector": "kv_both"}
