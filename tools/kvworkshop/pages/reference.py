"""The reference: the tools' options from their own parsers, exit codes, data schemas and the KVR codes of patch lint."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvroles.errors import Exit

from kvworkshop import own
from kvworkshop.pages.text import code, fence, front_matter, table

# Source of the meanings: the comments beside the members, which a running program cannot see.
_MEMBER = re.compile(r"^    (?P<name>[A-Z_]+) = (?P<value>\d+)  # (?P<meaning>.+)$", re.MULTILINE)


def tool_parsers(root: Path) -> dict[str, argparse.ArgumentParser]:
    """File name -> parser, for every ``tools/*.py``. Each is imported, as its ``--help`` would."""
    out = {}
    for path in sorted((root / "tools").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"_tool_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses in a script look their module up
        spec.loader.exec_module(module)
        out[path.name] = module.parser()
        assert isinstance(out[path.name], argparse.ArgumentParser)
    return out


def tools_page(root: Path) -> str:
    """``reference/tools.md``."""
    parts = [
        front_matter("Command line", "tools", boost=0.4, description="Every option of every tool"),
        "# Command line\n\nGenerated from the tools' own parsers. They share one table of [exit codes](exit-codes.md).\n",
    ]
    for name, parser in tool_parsers(root).items():
        parts.append(f"\n## {name} {{ #{name.removesuffix('.py')} }}\n\n" + "".join(_parser(parser, 3)))
    return "".join(parts)


def _parser(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    if parser.description:
        yield " ".join(parser.description.split()) + "\n\n"
    yield fence("text", _usage(parser)) + "\n"
    options, commands = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands.append(action)
        elif action.help is not argparse.SUPPRESS and not isinstance(action, argparse._HelpAction):
            options.append([_spelling(action), _help(parser, action)])
    if options:
        yield table(["Option", "Meaning"], options) + "\n"
    for action in commands:
        for name, sub in action.choices.items():
            anchor = f"{parser.prog} {name}".replace(".py", "").replace(" ", "-")
            yield f"{'#' * level} {parser.prog} {name} {{ #{anchor} }}\n\n"
            sub.prog = f"{parser.prog} {name}"
            yield from _parser(sub, level + 1)


def _usage(parser: argparse.ArgumentParser) -> str:
    """The usage text as it looks on a terminal of 78 columns, without colours."""
    formatter = argparse.HelpFormatter(parser.prog, width=78)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return re.sub(r"\x1b\[[\d;]*m", "", formatter.format_help())


def _spelling(action: argparse.Action) -> str:
    value = (
        ""
        if action.nargs == 0
        else str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))
    )
    names = ", ".join(action.option_strings) or value
    return code(f"{names} {value}".strip() if action.option_strings else names)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": parser.prog}
    choices = f" (one of {', '.join(map(code, map(str, action.choices)))})" if action.choices else ""
    required = " (required)" if action.required and action.option_strings else ""
    return re.sub(r"([<*])", r"\\\1", text) + choices + required


def exit_codes() -> list[tuple[int, str]]:
    """(code, meaning) of every exit code, from ``errors.py``."""
    text = (own.ROOT / "tools" / "kvroles" / "errors.py").read_text(encoding="utf-8")
    found = [(int(m["value"]), m["meaning"]) for m in _MEMBER.finditer(text)]
    assert [n for n, _ in found] == [int(e) for e in Exit], "errors.py: an exit code has no comment"
    return found


def exit_codes_page() -> str:
    """``reference/exit-codes.md``."""
    rows = [[code(str(n)), meaning[0].upper() + meaning[1:]] for n, meaning in exit_codes()]
    return (
        front_matter("Exit codes", "tools/kvroles/errors.py")
        + "# Exit codes\n\nThe same for every tool.\n\n"
        + table(["Code", "Meaning"], rows)
        + "\nAn error is one paragraph on standard error: what went wrong and where, what was expected, what was found, "
        "and the command that gets out of it. With `--json` the same stands on standard output as "
        '`{"error": ..., "code": N}`. An interrupted run (Ctrl-C) ends with 130; the target is then as it was, '
        "or the next run finishes it.\n"
    )


def data_page(root: Path) -> str:
    """``reference/data.md``: a section for each JSON Schema in ``docs/data``."""
    parts = [
        front_matter("Data files", "docs/data", boost=0.4, description="The lock, compat.json and their JSON Schemas"),
        "# Data files\n\nAll of them are JSON, and each has a JSON Schema that the tests hold it to.\n",
    ]
    for path in sorted((root / "docs" / "data").glob("*.schema.json")):
        schema = json.loads(path.read_bytes())
        stem = path.name.removesuffix(".schema.json")
        links = [f"[schema](../data/{path.name})"]
        if (path.parent / f"{stem}.json").exists():
            links.insert(0, f"[{stem}.json](../data/{stem}.json)")
        title = re.sub(r"^[a-z]+ ", lambda m: m[0].capitalize(), schema.get("title") or f"{stem}.json")
        parts.append(f"\n## {title} {{ #{stem} }}\n\n{schema.get('description', '')}\n\n{' · '.join(links)}\n\n")
        parts.append(table(["Key", "Type", "Meaning"], _keys(schema, schema, "")))
    return "".join(parts)


def _keys(schema: Mapping[str, Any], whole: Mapping[str, Any], prefix: str, depth: int = 0) -> Iterator[list[str]]:
    schema = _resolved(schema, whole)
    if depth > 8:
        return
    for name, sub in schema.get("properties", {}).items():
        sub = _resolved(sub, whole)
        path = f"{prefix}.{name}" if prefix else name
        yield [code(path), _type(sub), _meaning(sub)]
        yield from _keys(sub, whole, path, depth + 1)
    for sub in _patterns(schema):
        sub = _resolved(sub, whole)
        path = f"{prefix}.*" if prefix else "*"
        yield [code(path), _type(sub), _meaning(sub)]
        yield from _keys(sub, whole, path, depth + 1)
    if isinstance(schema.get("items"), Mapping):
        yield from _keys(schema["items"], whole, f"{prefix}[]", depth + 1)
    for kind in ("anyOf", "oneOf"):
        for sub in schema.get(kind, ()):
            yield from _keys(sub, whole, prefix, depth + 1)


def _patterns(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from schema.get("patternProperties", {}).values()
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield schema["additionalProperties"]


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    ref = schema.get("$ref", "")
    if not ref.startswith("#/"):
        return schema
    target: Any = whole
    for step in ref[2:].split("/"):
        target = target[step]
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _type(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(v)) for v in schema["enum"])
    kind = schema.get("type")
    if kind is None:
        kinds = [_type(s) for s in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]
        return " or ".join(kinds) or "any"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _meaning(schema: Mapping[str, Any]) -> str:
    return re.sub(r"([<*])", r"\\\1", str(schema.get("description", "")))
