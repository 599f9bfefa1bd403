"""``verify.py --lint``: each code is found in a series that is spoilt in its way, and none in one that is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from kvroles.contract.terms import CHECKER
from kvworkshop import lint
from support.cost import slow_but
from support.driver import script
from support.tiny import Tiny

UNIT_TESTS = "unit-tests/0.22.1.patch"
HUNK = """\
@@ -1,2 +1,2 @@
-def create_vllm_config(kv_connector="NixlConnector", kv_role="kv_both"):
+def create_vllm_config(kv_connector="NixlConnector", kv_role="kv_consumer"):
     return kv_role
"""


def found(tiny: Tiny) -> dict[str, str]:
    """Code -> where and why of the findings in ``tiny``, the last of each code."""
    ran = script(
        tiny.root / "tools" / "verify.py", "--lint", "--json", "--offline", "--cache-dir", tiny.cache, cwd=tiny.root
    )
    findings = json.loads(ran.out)
    assert ran.code == (1 if findings else 0), ran.err
    return {f["code"]: f"{f['where']}: {f['why']}" for f in findings}


def test_a_series_in_order_has_no_finding(tiny: Tiny) -> None:
    assert found(tiny) == {}


def edit(old: str, new: str, file: str = UNIT_TESTS) -> Callable[[Path], None]:
    def spoil(patches: Path) -> None:
        text = (patches / file).read_text()
        assert old in text
        (patches / file).write_text(text.replace(old, new, 1))

    return spoil


def folder_nobody_lists(patches: Path) -> None:
    (patches / "left-over").mkdir()


def variant_nobody_uses(patches: Path) -> None:
    (patches / "unit-tests" / "0.32.0.patch").write_bytes((patches / UNIT_TESTS).read_bytes())


def the_same_file_in_two_topics(patches: Path) -> None:
    """Of one release, in the lock: no series that can be applied has it."""
    lock = json.loads((patches / "lock.json").read_bytes())
    topics = lock["releases"]["0.22.1"]["topics"]
    topics["guides"]["files"] |= topics["unit-tests"]["files"]
    (patches / "lock.json").write_text(json.dumps(lock))


def other_checker(**change: object) -> Callable[[Path], None]:
    """The lock as a checker with another number, or other code, left it."""

    def spoil(patches: Path) -> None:
        lock = json.loads((patches / "lock.json").read_bytes())
        lock["checker"] |= change
        (patches / "lock.json").write_text(json.dumps(lock))

    return spoil


SPOILT: list[tuple[str, Callable[[Path], None], str]] = [
    ("KVR001", edit("Remove-When: never\n", ""), "Remove-When"),
    ("KVR002", edit("Topic: unit-tests", "Topic: other"), "Topic is 'other' in folder unit-tests"),
    ("KVR002", edit("Upstream-Status: Inappropriate [", "Upstream-Status: Perhaps ["), "Upstream-Status is not Backport"),
    ("KVR002", edit("Upstream-Status: Inappropriate [made for the tests]", "Upstream-Status: Backport"), "with a [reference]"),
    ("KVR002", edit("Origin: downstream", "Origin: my machine"), "Origin is neither"),
    ("KVR002", edit("Native-Since: 0.33.0", "Native-Since: none"), "the lock says 0.33.0"),
    ("KVR003", edit(">=0.22.1,<0.33.0", ">=0.9.0,<0.33.0"), "it names 0.9.0 to 0.22.1 (2)"),
    ("KVR003", edit(">=0.22.1,<0.33.0", "from 0.22.1 on"), "not a specifier"),
    ("KVR004", edit(HUNK, "@@ -2,0 +3,1 @@\n+# no line of the file is named\n"), "hunk 1 of"),
    ("KVR004", edit("@@ -1,2 +1,2 @@\n-def create", "@@ -1,2 +1,2 @@\n-DEF create"), "hunk 1 of"),
    ("KVR005", edit('+    assert "kv_both" in caplog.text', '+    assert "kv_both" in caplog.text  '), "line "),
    ("KVR006", variant_nobody_uses, "0.32.0.patch"),
    ("KVR007", folder_nobody_lists, "patches/left-over"),
    ("KVR007", edit("guides\n", "guides\nguides\n", "series"), "guides is listed 2 times"),
    ("KVR008", edit("From: vllm-kv-roles <maintainers@vllm-kv-roles.invalid>\n", ""), "on 0.22.1"),
    ("KVR010", edit('in caplog.text\n', 'in caplog.text\r\n'), "has CRLF line ends"),
    ("KVR009", the_same_file_in_two_topics, "unit-tests and guides in 0.22.1"),
    ("KVR010", edit("\n-- \nvllm-kv-roles\n", "\n"), "cut short"),
    ("KVR011", other_checker(tokens="0" * 64), "raise CHECKER by one"),
    ("KVR011", other_checker(number=CHECKER + 1), f"the lock's {CHECKER + 1}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "spoil", "why"), slow_but(SPOILT[1:2], SPOILT), ids=[f"{code} {why}" for code, _, why in SPOILT]
)
def test_what_is_wrong_is_found_under_its_code(
    tiny: Tiny, tmp_path: Path, code: str, spoil: Callable[[Path], None], why: str
) -> None:
    copy = tiny.copy(tmp_path / "project")
    spoil(copy.root / "patches")
    assert why in found(copy)[code]


def test_every_code_is_tried() -> None:
    assert {code for code, _, _ in SPOILT} == set(lint.CODES)


@pytest.mark.slow
def test_people_read_a_line_a_finding(tiny: Tiny, tmp_path: Path) -> None:
    copy = tiny.copy(tmp_path / "project")
    edit("Topic: unit-tests", "Topic: other")(copy.root / "patches")
    ran = script(copy.root / "tools" / "verify.py", "--lint", "--offline", "--cache-dir", copy.cache, cwd=copy.root)
    assert ran.code == 1
    assert ran.out.splitlines()[-2:] == [
        "patches/unit-tests/0.22.1.patch: KVR002 A trailer is not true: Topic is 'other' in folder unit-tests",
        "1 finding",
    ]
