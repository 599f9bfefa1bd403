"""A file takes work in proportion to its length, whatever is repeated in it: calls are counted, no time is taken."""

from __future__ import annotations

import sys
from types import FrameType

import pytest
from kvroles.evidence.text import Text
from kvroles.migrate import run, settings
from kvroles.migrate.readers import base
from kvroles.migrate.readers.mapping import objects
from support.cost import slow_but

CONFIG = '"kv_connector": "NixlConnector", "kv_role": "kv_both"'
# What a line is repeated in. Each was once read anew, or looked through whole, for every one of its lines.
REPEATED = {
    "attributes of a .tf file": ("a.tf", 'x = "kv_both"\n'),
    "set blocks of a .tf file": ("a.tf", 'set {\n  name = "a.kv_role"\n  value = "kv_both"\n}\n'),
    "roles of one connector in a .tf file": ("a.tf", 'x = {kv_connector = "NixlConnector", kv_role = "kv_both"}\n'),
    "a YAML template's actions": ("a.yaml", '{{ $x := "kv_both" }}\n'),
    "a YAML list": ("a.yaml", f"- {{{CONFIG}}}\n"),
    "a YAML line that is none": ("a.yaml", f"{{{CONFIG}}}, "),
    "objects on one line of JSON": ("a.json", f"{{{CONFIG}}}, "),
    "lines of JSON": ("a.json", f"{{{CONFIG}}}\n"),
    "a YAML environment": ("a.yaml", "- name: KV_ROLE\n  value: kv_both\n"),
    "keys of an ini file": ("a.ini", "KV_ROLE=kv_both\n"),
    "sections of an ini file": ("a.ini", "[a]\nKV_ROLE=kv_both\n"),
    "calls in TypeScript": ("a.ts", 'f("kv_both")\n'),
    "members in TypeScript": ("a.ts", 'x.kv_role = "kv_both"\n'),
    "a list in TypeScript": ("a.ts", 'f(["--kv-role", "kv_both"])\n'),
    "words of one command": ("a.sh", "kv_both "),
    "configs of one command": ("a.sh", f"--kv-transfer-config '{{{CONFIG}}}' "),
    "configs of one unit's command": ("a.service", f"ExecStart=v --kv-transfer-config '{{{CONFIG}}}' \\\n"),
    "assignments in a script": ("a.sh", "KV_ROLE=kv_both\n"),
    "commands in PowerShell": ("a.ps1", 'f "kv_both"\n'),
    "dicts in Python": ("a.py", f"x = {{{CONFIG}}}\n"),
    "lists of roles in Python": ("a.py", 'R = ["kv_producer", "kv_consumer", "kv_both"]\n'),
    "choices in a .tf file": ("a.tf", 'x = v ? "kv_both" : "b"\n'),
    "choices in PowerShell": ("a.ps1", '$x = $p ? "kv_both" : "b"\n'),
    "formats in Python": ("a.py", """x = '{"kv_connector":"NixlConnector","kv_role":"%s"}' % "kv_both"\n"""),
    "rows of a document's table": ("a.md", "| x | y |\n" * 50 + f"| x | `{{{CONFIG}}}` |\n"),
    "members in Python": ("a.py", 'x["kv_role"] = "kv_both"\n'),
}
SAMPLE = [REPEATED["objects on one line of JSON"], REPEATED["assignments in a script"], REPEATED["dicts in Python"]]
FEW, MANY = 40, 160


def _calls(name: str, text: str) -> int:
    """How many calls it takes to read a file, of Python's functions and of C's."""
    count = 0

    def counted(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    options = settings.Options(settings.Settings())
    sys.setprofile(counted)
    try:
        run.of_bytes(name, name, text.encode(), options)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("name", "line"), slow_but(SAMPLE, REPEATED.values()), ids=REPEATED.keys())
def test_four_times_as_many_lines_take_four_times_the_work(name: str, line: str) -> None:
    base.load()
    _calls(name, line)  # what is loaded and compiled at first is not counted
    assert _calls(name, line * MANY) < _calls(name, line * FEW) * 5


# Parts of one file that each have a name, or a branch, of their own: where it begins, what part ``i`` is.
PARTS = {
    "definitions of a template": ("_h.tpl", "", '{{ define "prefill-%d" }}@CONFIG{{ end }}\n'),
    "branches in a script of a template": (
        "a.yaml",
        "data:\n  run.sh: |\n",
        "    {{ if .p%d }}\n    vllm serve m --kv-transfer-config '@CONFIG'\n    {{ end }}\n",
    ),
    "variables that a template sets in a script": (
        "a.sh.j2",
        "",
        "{% set kv%d = '@CONFIG' %}\nvllm serve m --kv-transfer-config '{{ kv%d }}'\n",
    ),
    "variables of a script in branches of a template": (
        "a.sh.j2",
        "",
        "{% if p%d %}\nKV%d='@CONFIG'\n{% endif %}\nvllm serve m --kv-transfer-config \"$KV%d\"\n",
    ),
    "locals of Terraform's and their uses": (
        "a.tf",
        "",
        'locals {\n  kv%d = {kv_connector = "NixlConnector", kv_role = "kv_both"}\n}\nx = local.kv%d\n',
    ),
}


@pytest.mark.parametrize(("name", "head", "part"), PARTS.values(), ids=PARTS.keys())
def test_what_has_a_name_of_its_own_is_not_looked_for_in_all_the_others(name: str, head: str, part: str) -> None:
    def calls(n: int) -> int:
        return _calls(
            name, head + "".join(part.replace("%d", str(i)) for i in range(n)).replace("@CONFIG", f"{{{CONFIG}}}")
        )

    base.load()
    calls(2)
    few = calls(15)  # first: a pattern with a name in it is compiled once
    assert calls(60) < few * 7


@pytest.mark.parametrize("length", [2_000, 8_000])
def test_a_long_word_is_gone_through_once(length: int) -> None:
    """A pattern that goes back letter by letter takes minutes here, and not a moment."""
    text = "prefill_decode_" * length + f"\n\n```bash\nvllm serve m --kv-transfer-config '{{{CONFIG}}}'\n```\n"
    assert run.of_bytes("a.md", "a.md", text.encode(), settings.Options(settings.Settings())) is not None


def test_objects_of_one_text_are_looked_for_once() -> None:
    """What is never closed is looked through a number of times that has a bound, whatever is repeated in it."""
    text = Text('{"a": "kv_both", ' * 20_000)
    assert [objects.enclosing(text, i) for i in text.tokens()] == [None] * 20_000
    assert objects._outermost(text)._left > -objects._LOOKED_AT


def test_the_five_hundredth_object_of_a_text_is_found() -> None:
    text = Text(f"{{{CONFIG}}}\n" * 500)
    found = [objects.enclosing(text, i) for i in text.tokens()]
    assert len({id(o) for o in found if o is not None}) == 500
