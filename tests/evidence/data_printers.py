"""Nested data, printed in every carrier that holds some: mappings, lists, texts, numbers, truths, and NIXL configs in two forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

CONFIG = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
NIXL = json.dumps(CONFIG, separators=(",", ":"))
TEXT, TABLE = "config as a text", "config as a table"  # stand for a config among the values


class _Braces:
    """A language whose mappings and lists stand in signs; each pair has a line."""

    def __init__(
        self,
        whole: str,
        *,
        open_: str = "{",
        list_: tuple[str, str] = ("[", "]"),
        sign: str = ":",
        end: str = ",",
        key: Callable[[str], str] = json.dumps,
        truths: tuple[str, str] = ("true", "false"),
        text: str = f"'{NIXL}'",
        depth: int = 0,
    ) -> None:
        self._whole, self._open, self._list, self._sign, self._end = whole, open_, list_, sign, end
        self._key, self._truths, self._text, self._depth = key, truths, text, depth

    def __call__(self, tree: dict[str, Any]) -> str:
        return self._whole.replace("{}", self._value(tree, self._depth), 1)

    def _value(self, value: Any, depth: int) -> str:
        value = CONFIG if value == TABLE else value
        if isinstance(value, dict):
            pad = "  " * depth
            lines = [
                f"{pad}  {self._key(k)}{self._sign} {self._value(v, depth + 1)}{self._end}" for k, v in value.items()
            ]
            return "\n".join([self._open, *lines, pad + "}"])
        if isinstance(value, list):
            return ", ".join(self._value(v, depth + 1) for v in value).join(self._list)
        if value == TEXT:
            return self._text
        return self._truths[not value] if isinstance(value, bool) else json.dumps(value)


def _json(tree: dict[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return {TEXT: NIXL, TABLE: CONFIG}.get(value, value) if isinstance(value, str) else value

    return json.dumps(plain(tree), indent=2)


def _yaml(tree: dict[str, Any], depth: int = 0) -> str:
    pad, out = "  " * depth, []
    for key, given in tree.items():
        value = CONFIG if given == TABLE else given
        if isinstance(value, dict):
            out += [f"{pad}{key}:", _yaml(value, depth + 1)]
        elif isinstance(value, list):
            out.append(f"{pad}{key}:")
            for item in value:
                held = _yaml(item, depth + 2).lstrip() if isinstance(item, dict) else _scalar(item)
                out.append(f"{pad}  - {held}")
        else:
            out.append(f"{pad}{key}: {_scalar(value)}")
    return "\n".join(out)


def _toml(tree: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Plain values stand before tables here, as in every printed tree (see ``ordered``)."""
    out: list[str] = []
    for key, given in tree.items():
        value, head = CONFIG if given == TABLE else given, ".".join((*path, key))
        if isinstance(value, dict):
            out += [f"[{head}]", _toml(value, (*path, key))]
        elif isinstance(value, list) and isinstance(value[0], dict):
            out += [f"[[{head}]]\n{_toml(item, (*path, key))}" for item in value]
        else:
            out.append(
                f"{key} = {', '.join(map(_scalar, value)).join('[]') if isinstance(value, list) else _scalar(value)}"
            )
    return "\n".join(out)


def _scalar(value: Any) -> str:
    return f"'{NIXL}'" if value == TEXT else json.dumps(value)


def _bare(key: str) -> str:
    return key if key.isidentifier() else f"'{key}'"


def ordered(tree: Any) -> Any:
    """``tree`` with the plain values of each mapping before its tables: a TOML file has no other order."""
    if isinstance(tree, list):
        return [ordered(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {k: ordered(v) for k, v in sorted(tree.items(), key=lambda pair: _is_table(pair[1]))}


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or value == TABLE or (isinstance(value, list) and isinstance(value[0], dict))


_SCRIPT = _Braces("const config = {};", key=_bare)
DATA: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "yaml": ("a.yaml", _yaml),
    "values": ("values.yaml", _yaml),
    "json": ("a.json", _json),
    "toml": ("a.toml", _toml),
    "python": ("a.py", _Braces("CONFIG = {}", truths=("True", "False"))),
    "javascript": ("a.js", _SCRIPT),
    "typescript": ("a.ts", _SCRIPT),
    "hcl": ("a.tf", _Braces("locals {\n  config = {}\n}", sign=" =", end="", text=json.dumps(NIXL), depth=1)),
    "powershell": (
        "a.ps1",
        _Braces(
            "$config = {}", open_="@{", list_=("@(", ")"), sign=" =", end="", key=_bare, truths=("$true", "$false")
        ),
    ),
}
