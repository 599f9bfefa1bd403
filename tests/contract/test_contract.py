"""The contract of a patched tree: each clause, kept and broken."""

from __future__ import annotations

import pytest
from kvroles.contract import check, clauses, roles_in_text, terms
from support import tiny as project
from support.tiny import Tiny

WARNING = (
    "            logger.warning_once(\n                \"kv_role='kv_both' is deprecated: use \"\n"
    '                "kv_producer on prefill, kv_consumer on decode."\n            )\n'
)
INIT = (
    "class {name}{bases}:\n    def __init__(self, vllm_config):\n"
    "        config = vllm_config.kv_transfer_config\n{body}        self.x = 1\n\n"
)
TEST = '        if config.kv_role == "kv_both":\n'


def module(body: str, name: str = "NixlConnector", bases: str = "") -> bytes:
    return INIT.format(name=name, bases=bases, body=body).encode()


# Clause 1.


@pytest.mark.parametrize(
    "source",
    [
        module(TEST + WARNING),
        module(TEST + WARNING, "Base") + b"class NixlConnector(Base):\n    pass\n",
        module(TEST + WARNING, "Base") + b"class NixlPullConnector(Base):\n    def __init__(self):\n        super().__init__()\n"
        b"NixlConnector = NixlPullConnector\n",
        module(TEST + WARNING.replace("kv_both", "kv_both")).replace(b"config.kv_role ==", b"vllm_config.kv_transfer_config.kv_role =="),
    ],
    ids=["in the class", "in its base", "through an alias", "through the whole config"],
)  # fmt: skip
def test_a_connector_that_warns_meets_the_contract(source: bytes) -> None:
    assert clauses.warns(source) is None


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (module(""), "warns once"),
        (module("        if True:\n" + WARNING), "warns once"),
        (module(TEST.replace("==", "!=") + WARNING), "warns once"),
        (module(TEST.replace("kv_both", "kv_producer") + WARNING), "warns once"),
        (module(TEST + WARNING + WARNING), "warns once"),
        (module(TEST + WARNING + "        else:\n" + WARNING), "warns once"),
        (module(TEST + WARNING.replace("warning_once", "warning")), "warns once"),
        (module(TEST + WARNING.replace("deprecated", "old")), "warns once"),
        (module(TEST + WARNING.replace("kv_consumer", "the other")), "warns once"),
        (module(TEST + WARNING, "Other"), "no class NixlConnector"),
        (module(TEST + WARNING, "Other") + b"class NixlConnector:\n    pass\n", "warns once"),
        (b"class NixlConnector(:\n", "does not parse"),
        (b"class NixlConnector:\n    x = '\xff'\n", "does not parse"),
        (b"\0", "does not parse"),
    ],
)  # fmt: skip
def test_a_connector_without_the_warning_is_told_why(source: bytes, why: str) -> None:
    assert why in str(clauses.warns(source))


# Clauses 1 to 5, on a whole tree.

TEXTS = {
    "1: the warning is gone": (1, project.CONNECTOR, b"warning_once", b"info"),
    "2: a test is gone": (2, project.UNIT, b"def test_explicit_kv_role", b"def unused"),
    "2: a test is a comment": (2, project.UNIT, b"def test_explicit_kv_role", b"# def test_explicit_kv_role"),
    "3: a test config says kv_both": (3, project.UNIT, b'kv_role="kv_consumer"', b'kv_role="kv_both"'),
    "3: a script says kv_both": (3, project.SCRIPT, b"kv_consumer", b"kv_both"),
    "3: a guide says kv_both": (3, project.GUIDE, b"kv_producer", b"kv_both"),
    "4: prefill is a consumer": (4, project.SCRIPT, b'"kv_role":"kv_producer"', b'"kv_role":"kv_consumer"'),
    "4: decode is a producer": (4, project.SCRIPT, b'"kv_role":"kv_consumer"', b'"kv_role":"kv_producer"'),
    "4: a role of no side": (4, project.STRAGGLER, b"For prefill run", b"Run"),
    "5: python does not compile": (5, project.UTILS, b"return kv_role", b"return return"),
    "5: shell does not parse": (5, project.SCRIPT, b"set -e\n", b"set -e (\n"),
    "5: json does not parse": (5, project.GUIDE, b'"kv_role":"kv_producer"', b'"kv_role":kv_producer'),
}


@pytest.mark.parametrize("name", TEXTS)
def test_each_clause_is_checked(tiny: Tiny, name: str) -> None:
    clause, path, old, new = TEXTS[name]
    before, after = project.pristine("0.22.1"), tiny.applied()
    assert check.check(after, before, {}).breaches == ()
    assert old in after[path]
    if name.startswith("4"):
        new = new.replace(b"decode", b"decode-1")
        after[path] = after[path].replace(old, new).replace(b"kv_consumer", b"kv_producer")
    else:
        after[path] = after[path].replace(old, new, 1)
    breaches = check.check(after, before, {}).breaches
    assert breaches
    assert {(b.clause, b.path) for b in breaches} == {(clause, path)}


def test_kv_both_in_a_file_the_series_does_not_know_is_a_breach_too(tiny: Tiny) -> None:
    forgotten = {
        "examples/new.sh": b'vllm serve --kv-transfer-config \'{"kv_connector":"NixlConnector","kv_role":"kv_both"}\'\n'
    }
    (breach,) = check.check(tiny.applied(), project.pristine("0.22.1"), forgotten).breaches
    assert str(breach) == "examples/new.sh:1: a NIXL config says kv_both (clause 3)"


def test_kv_both_is_allowed_where_it_is_spoken_of(tiny: Tiny) -> None:
    mentions = {
        terms.GUIDE: b'{"kv_connector":"NixlConnector","kv_role":"kv_both"}',
        "vllm/config/kv_transfer.py": b'{"kv_connector":"NixlConnector","kv_role":"kv_both"}',
        "tests/lmcache.sh": b'{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}',
        "docs/other.md": b"The role kv_both is going away; kv_role has three values.",
        "tests/multi.py": b'{"kv_connector": "MultiConnector", "kv_role": "kv_both"}',
    }
    assert check.check(tiny.applied(), project.pristine("0.22.1"), mentions).breaches == ()


def test_the_deprecation_tests_may_say_kv_both_and_their_neighbours_may_not(tiny: Tiny) -> None:
    data = tiny.applied()[project.UNIT]
    assert clauses.kv_both_left(project.UNIT, data) == ()
    more = data + b'\n\ndef test_more():\n    config(kv_connector="NixlConnector", kv_role="kv_both")\n'
    assert [s.line for s in clauses.kv_both_left(project.UNIT, more)] == [more.count(b"\n")]


def test_other_connectors_keep_their_roles(tiny: Tiny) -> None:
    path = "tests/multi.json"
    before = b'{"connectors": [{"kv_connector":"NixlConnector","kv_role":"kv_both"},\n {"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}]}'
    good = before.replace(b'"NixlConnector","kv_role":"kv_both"', b'"NixlConnector","kv_role":"kv_consumer"')
    assert clauses.roles_kept(path, before, good) == ()
    (one, two) = clauses.roles_kept(path, before, good.replace(b"kv_both", b"kv_producer"))
    assert {one.clause, two.clause} == {4}
    assert "LMCacheConnectorV1 became kv_producer" in one.why


def test_a_script_that_uses_a_variable_it_no_longer_sets(tiny: Tiny) -> None:
    before = b'CONFIG="x"\nvllm serve $CONFIG\n'
    assert clauses.well_formed("a.sh", before, b'PREFILL="x"\nvllm serve $PREFILL\n') == ()
    (breach,) = clauses.well_formed("a.sh", before, b'PREFILL="x"\nvllm serve $CONFIG\n')
    assert "still uses $CONFIG" in breach.why


def test_json_that_never_parsed_is_not_ours_to_mend() -> None:
    broken = b"`'{\"kv_connector\": ...}'`\n"
    assert clauses.well_formed("a.md", broken, broken + b"more\n") == ()
    assert len(clauses.well_formed("a.md", b"", broken)) == 1


def test_a_config_whose_quote_a_backtick_ends_hides_no_broken_one_behind_it() -> None:
    """Upstream's sentence of September 2025: the first config lacks its quote, the second a brace."""
    first, second = '\'{"kv_connector":"N","kv_role":"kv_both"}`', '`\'{"kv_connector":"N","kv_role":"kv_both"\'`'
    before = f"Add `{first} or {second}\n".encode()
    after = before.replace(b"kv_both", b"kv_producer").replace(b"}`", b"}'`")
    assert not clauses.well_formed("a.md", before, after)
    assert len(clauses.well_formed("a.md", before, after.replace(b'"N"', b'"N', 1))) == 1


@pytest.mark.parametrize(
    "gives",
    [
        'config(kv_connector="NixlConnector")',
        'def test(kv_connector: str = "NixlConnector"): ...',
        'config(size=1, kv_connector="NixlPushConnector")',
        '@pytest.mark.parametrize("kv_connector", [\n    "OffloadingConnector",\n    "NixlConnector",\n])',
        "@pytest.mark.parametrize('a,kv_connector', [(1, 'NixlConnector')])",
    ],
)
def test_a_connector_that_a_test_takes_as_a_parameter_is_seen_to_be_nixl(gives: str) -> None:
    taken = 'def config(kv_connector):\n    return C(\n        kv_connector=kv_connector, kv_role="kv_both"\n    )\n\n'
    path = "tests/v1/kv_connector/unit/test_config.py"
    assert [s.line for s in clauses.kv_both_left(path, f"{taken}{gives}\n".encode())] == [3]
    assert clauses.kv_both_left(path, f"{taken}{gives.replace('Nixl', 'Lmcache')}\n".encode()) == ()
    assert clauses.kv_both_left(path, f"{taken}{gives}\n".replace('"kv_both"', 'ROLE or "kv_both"').encode()) == ()


# Finding roles.


@pytest.mark.parametrize(
    ("text", "connector"),
    [
        ("""'{"kv_connector":"NixlConnector","kv_role":"kv_both"}'""", "NixlConnector"),
        ("""'{"kv_role":"kv_both","kv_connector":"NixlConnector"}'""", "NixlConnector"),
        (r'''"{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"''', "NixlConnector"),
        ("""{\n  "kv_connector": "NixlPushConnector",\n  "kv_role": "kv_both"\n}""", "NixlPushConnector"),
        ("""KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")""", "NixlConnector"),
        ("""KVTransferConfig(\n    kv_connector='NixlConnector',\n    kv_role='kv_both',\n)""", "NixlConnector"),
        ("""dict(extra={"a": [1, 2]}, kv_connector="NixlConnector", x=f(y), kv_role="kv_both")""", "NixlConnector"),
        ("""vllm serve M --kv-transfer-config.kv_connector NixlConnector --kv-transfer-config.kv_role kv_both""", "NixlConnector"),
        ("vllm serve M \\\n  --kv-transfer-config.kv_connector=NixlConnector \\\n  --kv-transfer-config.kv_role=kv_both", "NixlConnector"),
        ("kv_transfer_config:\n  kv_connector: NixlConnector\n  kv_role: kv_both\n", "NixlConnector"),
        ("- kv_role: kv_both\n  kv_connector: NixlConnector\n", "NixlConnector"),
        ("""{"kv_connector":"MultiConnector","kv_role":"kv_both","x":{"connectors":[{"kv_connector":"NixlConnector","kv_role":"kv_producer"}]}}""", "MultiConnector"),
        ("""{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}""", "LMCacheConnectorV1"),
        ("""f(kv_role="kv_both")""", None),
        ("""def f(kv_role: str = "kv_both"):""", None),
        ("""vllm serve A --kv-transfer-config.kv_connector NixlConnector\nvllm serve B --kv-transfer-config.kv_role kv_both""", None),
    ],
)  # fmt: skip
def test_a_role_and_its_connector_are_found_in_every_language(text: str, connector: str | None) -> None:
    found = [s for s in roles_in_text.sites(text.encode()) if s.role == "kv_both"]
    assert [s.connector for s in found] == [connector]
    for s in found:
        assert text[s.start : s.end] == "kv_both"
        assert text.split("\n")[s.line - 1].find("kv_both") >= 0


@pytest.mark.parametrize(
    "text", ["kv_both", "# the kv_role may be kv_both", "kv_role = config.kv_role", "kv_role in ('kv_both',)"]
)
def test_text_about_roles_is_no_config(text: str) -> None:
    assert roles_in_text.sites(text.encode()) == []


@pytest.mark.parametrize(
    ("connector", "left"),
    [("NixlConnector", 1), ("NixlPullConnector", 1), ("NixlPushConnector", 1), ("my.module.NixlConnector", 1),
     ("NixlConnectorV2", 0), ("LMCacheConnectorV1", 0), ("MultiConnector", 0), ("MyNixlConnector", 0)],
)  # fmt: skip
def test_kv_both_counts_for_connectors_of_nixl_only(connector: str, left: int) -> None:
    config = f'{{"kv_connector":"{connector}","kv_role":"kv_both"}}'.encode()
    assert len(clauses.kv_both_left("docs/page.md", config)) == left


def test_bytes_that_are_no_utf8_do_not_shift_what_is_found() -> None:
    data = b"# \xe9\xff\xa9\n" + b'f(kv_connector="NixlConnector", kv_role="kv_both")'
    (site,) = roles_in_text.sites(data)
    assert (site.line, data[site.start : site.end]) == (2, b"kv_both")
