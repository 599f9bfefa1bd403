"""Generated configs in every carrier: the rewritten file parses to the same data but for the role, and nothing else moves."""

from __future__ import annotations

import ast
import json
import os
import shlex
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kvroles.migrate import run
from kvroles.migrate.settings import Options, Settings

EXAMPLES = int(os.environ.get("KV_ROLES_EXAMPLES", "20"))
ROLE = {"prefill": "kv_producer", "decode": "kv_consumer"}
# A template's tag that is left open is unread, as it should be.
_plain = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85\ufeff"),
    max_size=12,
).filter(lambda text: "{{" not in text and "{%" not in text)
_scalars = st.one_of(_plain, st.integers(-9, 9**9), st.booleans())


@st.composite
def _objects(draw: st.DrawFn) -> dict[str, Any]:
    """A NIXL config object, its keys in any order, with settings that mean nothing here."""
    pairs: list[tuple[str, Any]] = [("kv_connector", "NixlConnector"), ("kv_role", "kv_both")]
    pairs += [(f"x{i}", draw(_scalars)) for i in range(draw(st.integers(0, 3)))]
    if draw(st.booleans()):
        pairs.append(
            (
                "kv_connector_extra_config",
                {"backends": draw(st.lists(_plain, max_size=2)), "n": draw(st.integers(0, 9))},
            )
        )
    return dict(draw(st.permutations(pairs)))


@st.composite
def _configs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config before and after the move is told its side: alone, or one child of a MultiConnector."""
    nixl = draw(_objects())
    if not draw(st.booleans()):
        return nixl, {**nixl, "kv_role": "MOVED"}
    other = {"kv_connector": draw(st.sampled_from(["LMCacheConnectorV1", "OffloadingConnector"])), "kv_role": "kv_both"}
    order = draw(st.permutations([nixl, other]))

    def wrap(children: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "kv_connector": "MultiConnector",
            "kv_role": "kv_both",
            "kv_connector_extra_config": {"connectors": children},
        }

    return wrap(list(order)), wrap([{**c, "kv_role": "MOVED"} if c is nixl else c for c in order])


_sides = st.sampled_from(sorted(ROLE))


def _moved(after: dict[str, Any], side: str) -> Any:
    return json.loads(json.dumps(after, ensure_ascii=False).replace('"MOVED"', json.dumps(ROLE[side])))


def _dumps(config: Any, draw_ascii: bool, indent: int | None) -> str:
    return json.dumps(config, ensure_ascii=draw_ascii, indent=indent)


def _migrated(name: str, text: str) -> str:
    data, name = text.encode(), f"pd/{name}"  # a folder that says P/D, without which a mere label is too weak
    result = run.of_bytes(name, name, data, Options(Settings()))
    assert result is not None
    assert result.after is not None, [(f.code, f.message) for f in result.findings]
    pieces = data.split(b"kv_both")
    left = result.after
    for i, piece in enumerate(pieces):  # the bytes between the roles, in order and unchanged
        assert left.startswith(piece)
        left = left[len(piece) :]
        if i < len(pieces) - 1:
            word = next(w for w in (b"kv_producer", b"kv_consumer", b"kv_both") if left.startswith(w))
            left = left[len(word) :]
    assert not left
    again = run.of_bytes(name, name, result.after, Options(Settings()))
    assert again is None or again.after is None
    return result.after.decode()


def _yaml_json_scalar(text: str, style: str) -> str:
    if style == "single":
        return "'" + text.replace("'", "''") + "'"
    if style == "double":
        return json.dumps(text, ensure_ascii=False)
    if style == "literal":
        return "|-\n" + "\n".join("      " + ln for ln in text.split("\n"))
    return ">-\n" + "\n".join("      " + ln for ln in text.split("\n"))


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.sampled_from(["single", "double", "literal", "folded"]), st.booleans())
def test_yaml_scalars(configs: tuple[Any, Any], side: str, style: str, ascii_only: bool) -> None:
    before, after = configs
    source = _dumps(before, ascii_only, None)
    text = f"workers:\n  {side}:\n    kv: {_yaml_json_scalar(source, style)}\n    n: 1 # ein Kommentar ü\n"
    out = yaml.safe_load(_migrated("v.yaml", text))
    assert json.loads(out["workers"][side].pop("kv")) == _moved(after, side)
    assert out == {"workers": {side: {"n": 1}}}


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.booleans(), st.sampled_from([None, 2, 4]))
def test_yaml_nodes(configs: tuple[Any, Any], side: str, flow: bool, width: int | None) -> None:
    before, after = configs
    text = yaml.safe_dump(
        {f"vllm-{side}": {"kv_transfer_config": before}},
        default_flow_style=flow,
        indent=width,
        allow_unicode=True,
        width=60,
    )
    out = yaml.safe_load(_migrated("v.yaml", text))
    assert out == {f"vllm-{side}": {"kv_transfer_config": _moved(after, side)}}


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.booleans(), st.sampled_from([None, 1, 2]))
def test_json_means_the_same_but_for_its_roles(
    configs: tuple[Any, Any], side: str, ascii_only: bool, indent: int | None
) -> None:
    before, after = configs
    text = _dumps({"name": f"w-{side}", "kv": before, "nested": json.dumps({"a": before})}, ascii_only, indent)
    out = json.loads(_migrated("v.json", text))
    assert out["kv"] == _moved(after, side)
    assert json.loads(out["nested"]) == {"a": _moved(after, side)}


def _shell(source: str, style: str, side: str) -> tuple[str, Callable[[str], str]]:
    """A script around ``source``, and how to get the value back out of it."""
    word = shlex.quote(source)
    if style == "double" and "$" not in source and "`" not in source:  # shlex keeps their backslash, a shell does not
        word = '"' + source.replace("\\", "\\\\").replace('"', '\\"') + '"'
    head = f"#!/bin/bash\n# {side} instance\nvllm serve m --port 1 \\\n  --kv-transfer-config {word} --x y &\n"
    return head, lambda out: shlex.split(out.split("--kv-transfer-config ", 1)[1])[0]


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.sampled_from(["single", "double"]), st.sampled_from([None, 2]))
def test_shell_quotes(configs: tuple[Any, Any], side: str, style: str, indent: int | None) -> None:
    before, after = configs
    text, value = _shell(_dumps(before, False, indent), style, side)
    assert json.loads(value(_migrated("run.sh", text))) == _moved(after, side)


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides)
def test_shell_in_yaml_in_a_heredoc(configs: tuple[Any, Any], side: str) -> None:
    before, after = configs
    source = shlex.quote(json.dumps(before, ensure_ascii=False))
    body = "\n".join("        " + ln for ln in f"exec vllm serve m \\\n  --kv-transfer-config {source}".split("\n"))
    doc = f"metadata:\n  name: x-{side}\nspec:\n  containers:\n    - args:\n      - |\n{body}\n"
    text = f"kubectl apply -f - <<'EOF'\n{doc}EOF\n"
    out = _migrated("apply.sh", text)
    script = yaml.safe_load(out.split("<<'EOF'\n", 1)[1].rsplit("EOF\n", 1)[0])["spec"]["containers"][0]["args"][0]
    assert json.loads(shlex.split(script)[-1]) == _moved(after, side)


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.sampled_from(["literal", "string", "split", "fstring"]), st.integers(1, 40))
def test_python_means_the_same_but_for_its_roles(configs: tuple[Any, Any], side: str, style: str, cut: int) -> None:
    before, after = configs
    source = json.dumps(before)
    if style == "literal":
        value = repr(before)
    elif style == "string":
        value = repr(source)
    elif style == "split":
        cut = min(cut, len(source) - 1)
        while any(w not in source[:cut] and w not in source[cut:] for w in ("kv_both", "Nixl")):  # between words only
            cut += 1
        value = f"({source[:cut]!r}\n    {source[cut:]!r})"
    else:
        value = "f" + repr(source.replace("{", "{{").replace("}", "}}"))
    out = _migrated("launch.py", f"# -*- coding: utf-8 -*-\n{side}_config = {value}\n")
    tree = ast.parse(out).body[0]
    assert isinstance(tree, ast.Assign)
    node = tree.value
    got = (
        ast.literal_eval(node)
        if not isinstance(node, ast.JoinedStr)
        else eval(compile(ast.Expression(node), "", "eval"))
    )
    assert (got if style == "literal" else json.loads(got)) == _moved(after, side)


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.booleans())
def test_toml_means_the_same_but_for_its_roles(configs: tuple[Any, Any], side: str, basic: bool) -> None:
    before, after = configs
    source = json.dumps(before, ensure_ascii=False)
    value = json.dumps(source, ensure_ascii=False) if basic or "'" in source else f"'{source}'"
    out = tomllib.loads(_migrated("c.toml", f"top = 1\n[pools.{side}]\nkv = {value} # x\n"))
    assert json.loads(out["pools"][side]["kv"]) == _moved(after, side)


@settings(max_examples=EXAMPLES)
@given(
    _configs(),
    _sides,
    st.sampled_from(["```", "~~~", "````"]),
    st.integers(0, 4),
    st.sampled_from(["json", "", "yaml"]),
)
def test_markdown_fences(configs: tuple[Any, Any], side: str, fence: str, indent: int, lang: str) -> None:
    before, after = configs
    pad = " " * indent
    source = _dumps(before, False, 2 if lang == "json" else None)
    body = "\n".join(pad + ln for ln in (f"kv: {source}" if lang == "yaml" else source).split("\n"))
    item = "1. x\n\n" if indent else ""
    text = f"# Title\n\n## {side.capitalize()}\n\n{item}{pad}{fence}{lang}\n{body}\n{pad}{fence}\n\nafter\n"
    out = _migrated("guide.md", text).split(fence)[1].split("\n", 1)[1]
    loaded = yaml.safe_load(out)
    assert (loaded["kv"] if lang == "yaml" else loaded) == _moved(after, side)


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.integers(1, 3))
def test_a_notebook_means_the_same_but_for_its_roles(configs: tuple[Any, Any], side: str, lines: int) -> None:
    before, after = configs
    code = f"{side}_kv = {before!r}\n" * 1 + "x = 1\n" * lines
    book = {"cells": [{"cell_type": "code", "source": code.splitlines(keepends=True), "outputs": []}], "nbformat": 4}
    out = json.loads(_migrated("n.ipynb", json.dumps(book, indent=1)))
    first = ast.parse("".join(out["cells"][0]["source"])).body[0]
    assert isinstance(first, ast.Assign)
    assert ast.literal_eval(first.value) == _moved(after, side)


@settings(max_examples=EXAMPLES)
@given(_configs(), _sides, st.sampled_from(["go-raw", "go", "rust", "docker", "make"]))
def test_other_languages_mean_the_same_but_for_their_roles(configs: tuple[Any, Any], side: str, lang: str) -> None:
    before, after = configs
    source = json.dumps(before)
    quoted = json.dumps(source)
    if lang == "go-raw" and "`" not in source:
        name, text = "a.go", f"package a\n\nfunc {side}Args() string {{ return `{source}` }}\n"
    elif lang.startswith("go"):
        name, text = "a.go", f"package a\n\nvar {side}KV = {quoted}\n"
    elif lang == "rust":
        name, text = "a.rs", f'fn {side}_kv() -> &str {{ r##"{source}"## }}\n'
    elif lang == "docker":
        name, text = "Dockerfile", f'FROM x AS {side}\nCMD ["--kv-transfer-config", {quoted}]\n'
    else:
        name, text = (
            "Makefile",
            f"run-{side}:\n\tvllm serve m --kv-transfer-config {shlex.quote(source).replace('$', '$$')}\n",
        )
    out = _migrated(name, text)
    assert out == text.replace("kv_both", "\0").replace("\0", "kv_both") or "kv_" in out
    assert _roles(out) == _roles_of(_moved(after, side))


def _roles(text: str) -> list[str]:
    return [w for w in text.replace('"', " ").replace("\\", " ").split() if w in {"kv_both", *ROLE.values()}]


def _roles_of(config: Any) -> list[str]:
    return [
        w for w in json.dumps(config).replace('"', " ").replace(",", " ").split() if w in {"kv_both", *ROLE.values()}
    ]


@pytest.mark.parametrize("side", sorted(ROLE))
def test_the_property_tests_can_fail(side: str) -> None:
    """The helper that compares bytes notices any change but a role's."""
    out = _migrated("v.yaml", f"{side}: {{kv_connector: NixlConnector, kv_role: kv_both}}\n")
    assert out == f"{side}: {{kv_connector: NixlConnector, kv_role: {ROLE[side]}}}\n"
