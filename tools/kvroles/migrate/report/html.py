"""The report as one page that can be sent: it asks nobody for anything, reads without JavaScript, and prints.

Every string from a file goes through ``_h``. The page's policy allows this very style and script and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

from kvroles.errors import UsageError
from kvroles.evidence.text import TOKEN
from kvroles.migrate.codes import EFFECTS, TO_DO
from kvroles.migrate.model import Finding
from kvroles.migrate.report import table
from kvroles.migrate.report.text import evidence, place, summary
from kvroles.said import said
from kvroles.tree import handles

if TYPE_CHECKING:
    from kvroles.migrate.result import FileResult
    from kvroles.migrate.search import Coverage

_STATES = {
    "unread": "Not understood: it may be a NIXL role",
    "to decide": "A person has to decide",
    "left": "Certain, not rewritten yet",
    "rewritten": "Rewritten",
    "kept": "Kept as it is",
    "effect": "What changes with a role",
}

_STYLE = """
:root { color-scheme: light dark; --line: #b8bec6; --soft: #f1f3f5; --bad: #a40e26; --good: #1a6630; --link: #0b57a4;
  --paper: #fff; --ink: #16191d }
@media (prefers-color-scheme: dark) {
  :root { --line: #4b535c; --soft: #22272d; --bad: #ff9aa5; --good: #8fdb9f; --link: #8ec5ff; --paper: #14171b;
    --ink: #e8eaed }
}
html { background: var(--paper); color: var(--ink) }
.wide { overflow-x: auto }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
h1, h2, h3, h4 { line-height: 1.25; margin: 1.5em 0 .5em } h4 { font-size: 1rem; margin-top: 0 }
a { color: var(--link) } :focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left }
pre, code { font-family: ui-monospace, monospace; font-size: .875rem }
pre { background: var(--soft); padding: .5rem; white-space: pre-wrap; margin: .5rem 0 }
del, ins { text-decoration: none; display: block } del { color: var(--bad) } ins { color: var(--good) }
del::before { content: "- " } ins::before { content: "+ " }
article { border: 1px solid var(--line); border-radius: .25rem; padding: .75rem; margin: .75rem 0 }
form { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; background: var(--soft); padding: .75rem }
form { position: sticky; top: 0 }
form[hidden], [hidden] { display: none } label { display: flex; gap: .5rem; align-items: center; flex-wrap: wrap }
label { max-width: 100% } input, select { font: inherit; padding: .25rem .5rem; min-height: 2rem; min-width: 0 }
select, input { max-width: min(24rem, 100%) }
@media print {
  html { background: none } .wide { overflow: visible } form, .skip { display: none }
  article { break-inside: avoid } body { max-width: none }
}
@media (max-width: 40rem) { form { position: static } th, td { padding: .25rem } table { font-size: .8rem } }
"""

_SCRIPT = """
"use strict";
const form = document.querySelector("form"), cases = [...document.querySelectorAll("article")];
const text = new Map(cases.map(c => [c, c.textContent.toLowerCase()]));
const groups = [...document.querySelectorAll("section[data-group]")].reverse();
function filter() {
  const words = form.words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  for (const c of cases) {
    const shown = (!form.state.value || c.dataset.state === form.state.value)
      && (!form.repository.value || c.dataset.repository === form.repository.value)
      && words.every(w => text.get(c).includes(w));
    c.hidden = !shown;
    count += shown;
  }
  for (const g of groups) g.hidden = !g.querySelector("article:not([hidden])");
  form.querySelector("output").textContent = count + " of " + cases.length + " cases";
}
form.hidden = false;
form.addEventListener("input", filter);
form.addEventListener("submit", e => e.preventDefault());
filter();
"""


def _h(value: object) -> str:
    """A string as text of the page. The word that is searched for is written so that a later run does not find it here."""
    return escape(said(value), quote=True).replace(TOKEN, TOKEN.replace("_", "&#95;"))


def _told(value: str) -> str:
    """As ``_h``; a command between backticks is shown as one."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", _h(value))


def page(results: list[FileResult], coverage: Coverage) -> str:
    """The page."""
    rows = table.rows(results, coverage)
    number = {row.repository: n for n, row in enumerate(rows)}
    cases = [(r, f) for r in results for f in r.findings if _state(f)]
    by_repository = sorted(cases, key=lambda c: number[c[0].repository])
    parts = [
        _head(),
        f'<body>\n<a class="skip" href="#cases">To the cases</a>\n<header><h1>NIXL roles that say {_h(TOKEN)}</h1>\n',
        f"<p>{_h(summary(results, coverage, rows))}</p></header>\n<main>\n",
        "<h2>By repository</h2>\n",
        _table(rows, number),
        "<h2>By folder</h2>\n",
        _folders(cases),
        '<h2 id="cases" tabindex="-1">Cases</h2>\n',
        _form(rows, cases, number),
    ]
    for repository, found in groupby(by_repository, key=lambda c: c[0].repository):
        of = number[repository]
        parts.append(f'<section data-group aria-labelledby="r{of}"><h3 id="r{of}">{_h(repository)}</h3>\n')
        order = list(_STATES)
        parts += [
            _case(r, f, of) for r, f in sorted(found, key=lambda c: (order.index(_state(c[1])), c[0].path, c[1].line))
        ]
        parts.append("</section>\n")
    if not cases:
        parts.append("<p>There are none.</p>\n")
    parts.append(
        "</main>\n<footer><p>Values of variables and of Secrets are masked. Made by kv-roles migrate.</p></footer>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
    return "".join(parts)


def _state(f: Finding) -> str:
    """What a finding is on the page; empty for what is harmless."""
    return table.state(f) or ("effect" if f.code in EFFECTS else "")


_GENERATOR = '<meta name="generator" content="kv-roles">'
_TITLE = "<title>NIXL roles: report of kv-roles migrate</title>"


def _head() -> str:
    policy = (
        f"default-src 'none'; style-src '{_hash(_STYLE)}'; script-src '{_hash(_SCRIPT)}'; base-uri 'none';"
        " form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"{_GENERATOR}\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f"{_TITLE}\n<style>{_STYLE}</style>\n</head>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _cells(first: str, values: Iterable[object]) -> str:
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{_h(v)}</td>" for v in values) + "</tr>\n"


def _heads(names: Iterable[str]) -> str:
    return "<thead><tr>" + "".join(f'<th scope="col">{_h(n)}</th>' for n in names) + "</tr></thead>\n<tbody>\n"


def _table(rows: list[table.Row], number: dict[str, int]) -> str:
    out = ["<table>\n", _heads(table.COLUMNS)]
    for row in rows:
        name = _h(row.repository)
        out.append(_cells(name if row.quiet else f'<a href="#r{number[row.repository]}">{name}</a>', row[1:]))
    out.append("</tbody>\n")
    if len(rows) > 1:
        out.append(f"<tfoot>{_cells('total', table.total(rows)[1:])}</tfoot>\n")
    return _wide("All counts", [*out, "</table>\n"])


def _folders(cases: list[tuple[FileResult, Finding]]) -> str:
    """The folders that hold a case, each with its counts."""
    states = [s for s in _STATES if s != "effect"]
    count: dict[str, dict[str, int]] = {}
    for r, f in cases:
        of = count.setdefault(os.path.dirname(r.path) or ".", dict.fromkeys(states, 0))
        if (state := _state(f)) in of:
            of[state] += 1
    out = [_cells(_h(folder), of.values()) for folder, of in sorted(count.items())]
    if not out:
        return "<p>No folder holds a case.</p>\n"
    return _wide("Counts by folder", ["<table>\n", _heads(["folder", *states]), *out, "</tbody>\n</table>\n"])


def _wide(label: str, parts: list[str]) -> str:
    """What may be wider than a phone, as a region that the keyboard can scroll."""
    return "".join([f'<div class="wide" role="region" aria-label="{label}" tabindex="0">\n', *parts, "</div>\n"])


def _form(rows: list[table.Row], cases: list[tuple[FileResult, Finding]], number: dict[str, int]) -> str:
    states = {_state(f) for _, f in cases}
    kinds = "".join(f'<option value="{s}">{_h(words)}</option>' for s, words in _STATES.items() if s in states)
    repositories = "".join(
        f'<option value="{number[row.repository]}">{_h(row.repository)}</option>' for row in rows if not row.quiet
    )
    return (
        '<form hidden role="search"><label>Words <input type="search" name="words" autocomplete="off"></label>'
        f'<label>State <select name="state"><option value="">all</option>{kinds}</select></label>'
        f'<label>Repository <select name="repository"><option value="">all</option>{repositories}</select></label>'
        '<output aria-live="polite"></output></form>\n'
    )


def _case(r: FileResult, f: Finding, repository: int) -> str:
    state = _state(f)
    out = [
        f'<article data-state="{state}" data-repository="{repository}">\n'
        f"<h4>{_h(place(f))}</h4>\n"
        f"<p><strong>{_STATES[state]}.</strong> {_h(f.code)}: {_h(f.message)}"
        + (f" [{_h(f.connector)}]" if f.connector else "")
        + "</p>\n"
    ]
    if f.shown_after:
        out.append(f"<pre><del>{_h(f.shown)}</del><ins>{_h(f.shown_after)}</ins></pre>\n")
    elif f.shown:
        out.append(f"<pre>{_h(f.shown)}</pre>\n")
    if said_of := evidence(f, r):
        out.append("<p>Evidence:</p>\n<ul>" + "".join(f"<li>{_h(e)}</li>" for e in said_of) + "</ul>\n")
    if f.kept is not None:
        out.append(f"<p>Kept by {_h(f.kept.how)}: {_h(f.kept.because or f.kept.rule)}</p>\n")
    elif not f.written:
        out.append(f"<p>To do: {_told(f.fix or TO_DO[f.code])}</p>\n")
    return "".join([*out, "</article>\n"])


# A page of ours has one of these near its start; the title is that of pages that were made before they said who made them.
_OURS = (_GENERATOR.encode(), _TITLE.encode())
_NEAR = 2000


def check_place(path: str) -> None:
    """Raise ``UsageError`` if no page can be put at ``path``."""
    target = os.path.abspath(path)
    if not handles.is_file(target):
        raise UsageError(f"--html {path} is no regular file", fix="Name a file, which is replaced, or a new one")
    if not os.path.isdir(os.path.dirname(target)):
        raise UsageError(f"--html {path}: its folder does not exist", fix="Make the folder first")
    if not _is_page(target):
        raise UsageError(
            f"--html {path} is a file that is no page of kv-roles, and would be replaced by one",
            fix="Name a new file, or the page of an earlier run",
        )


def _is_page(path: str) -> bool:
    """Whether what the name ``path`` stands for may be replaced: a page of ours, an empty file, a link, or nothing."""
    if os.path.islink(path):
        return True
    try:
        with handles.regular(path) as f:
            start = f.read(_NEAR)
            return not start or any(mark in start for mark in _OURS)
    except OSError:
        return True  # what stands in its way is said when it is written


def write(path: str, text: str) -> None:
    """Put the page at ``path`` by one rename: a disk that is full leaves what was there. Raises ``OSError``.

    A link at ``path``, which a tree that is looked at may hold, is replaced, and what it leads to is left alone.
    """
    handles.write(
        path,
        text.encode("utf-8", "replace"),  # half a character, as JSON can say it, is text of a config
    )
