"""Facts that hand-written pages include: the state of the world, and the warning's text."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kvroles.apply import state
from kvroles.contract import terms
from kvroles.said import counted
from kvroles.series.lock import Lock
from kvroles.series.patchfile import Patch
from kvroles.series.topics import Series

from kvworkshop.pages.text import fence, spans, table
from kvworkshop.pages.topics import native

WARNING_TOPIC = "connector-warning"
REFUSAL_TOPIC = "reject-kv-both"


def fragments(series: Series, lock: Lock) -> dict[str, str]:
    """Name below ``build/pages`` -> Markdown."""
    return {
        "state-of-the-world.md": _state_of_the_world(lock),
        "warning.md": fence("text", warning(series)),
        "query.md": fence("text", terms.QUERY),
        "contract.md": "".join(f"{n}. {clause.text}\n" for n, clause in terms.CLAUSES.items()),
        "clone.md": fence("bash", get(address()).partition("\n")[0]),
        "get.md": fence("bash", get(address())),
        "pre-commit.md": fence("yaml", pre_commit(address())),
        "action.md": fence("yaml", action(address())),
        "before-after.md": BEFORE_AFTER,
        "states.md": table(["State", "Meaning"], [[f"**{s}**", m] for s, m in states()]),
    }


def address() -> str:
    """Where this project is cloned from: REPO_URL, the setting that the site's own links take; else a name to fill in."""
    return os.environ.get("REPO_URL", "").rstrip("/") or "https://github.com/YOU/vllm-kv-roles"


def get(url: str) -> str:
    """The commands that bring the project to a machine with Python and git, and nothing else."""
    return (
        f"git clone {url} vllm-kv-roles && cd vllm-kv-roles\n"
        "python3 -m venv .venv && . .venv/bin/activate\n"
        "python -m pip install -e ."
    )


def pre_commit(url: str) -> str:
    """An entry for ``.pre-commit-config.yaml``."""
    return f"repos:\n  - repo: {url}\n    rev: v0.1.0\n    hooks:\n      - id: kv-roles"


CHECKOUT = "3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"


def action(url: str) -> str:
    """The steps of a GitHub workflow that run the action of this repository."""
    name = url.removeprefix("https://github.com/")
    return (
        f"steps:\n  - uses: actions/checkout@{CHECKOUT}\n  - uses: {name}@COMMIT # v0.1.0\n    with:\n      paths: |\n"
        "        deploy\n        charts\n      target-vllm: 0.33.0\n      sarif: kv-roles.sarif"
    )


BEFORE_AFTER = """\
<figure class="before-after">
<svg viewBox="0 0 360 214" role="img" aria-labelledby="before-after-title">
<title id="before-after-title">Before: prefill and decode both say kv_both. After: prefill says kv_producer, decode says \
kv_consumer. The KV cache moves from prefill to decode as it did.</title>
<g class="was">
<text x="0" y="14" class="when">Before</text>
<rect x="1" y="24" width="130" height="56" rx="6"/><rect x="229" y="24" width="130" height="56" rx="6"/>
<text x="66" y="46">prefill</text><text x="66" y="67" class="role">kv_both</text>
<text x="294" y="46">decode</text><text x="294" y="67" class="role">kv_both</text>
<path d="M137 52h78"/><path d="M211 46l10 6-10 6z" class="head"/><text x="180" y="42" class="small">KV cache</text>
</g>
<g class="is">
<text x="0" y="122" class="when">After</text>
<rect x="1" y="132" width="130" height="56" rx="6"/><rect x="229" y="132" width="130" height="56" rx="6"/>
<text x="66" y="154">prefill</text><text x="66" y="175" class="role">kv_producer</text>
<text x="294" y="154">decode</text><text x="294" y="175" class="role">kv_consumer</text>
<path d="M137 160h78"/><path d="M211 154l10 6-10 6z" class="head"/><text x="180" y="150" class="small">KV cache</text>
</g>
</svg>
</figure>
"""


def warning(series: Series) -> str:
    """The one line that every backport logs. Raises AssertionError when the variants disagree."""
    topic = series.topic(WARNING_TOPIC)
    texts = {text for v in topic.variants for text in warnings_in(topic.patch(v))}
    assert len(texts) == 1, f"the variants of {WARNING_TOPIC} warn in {len(texts)} ways"
    return texts.pop()


def warnings_in(patch: Patch) -> Iterator[str]:
    """The texts, among the string constants that ``patch`` adds, that the log query finds."""
    for file in patch.files:
        for hunk in file.hunks:
            added = b"".join(line for line in hunk.new if line not in hunk.old).decode()
            # Adjacent literals are one string; each run of them is parsed by itself, as a hunk is no whole module.
            for run in re.findall(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+', added):
                text = ast.literal_eval("(" + run + ")")
                if re.search(terms.QUERY, text):
                    yield text


def _state_of_the_world(lock: Lock) -> str:
    known = list(lock.releases)
    warns = native(lock, WARNING_TOPIC)
    silent = [r for r in known if r not in warns]
    newest = lock.releases[known[-1]].topics["stragglers"]
    rows = [
        [f"{spans(silent, known)} ({counted(len(silent), 'release')})", "accepts `kv_both` in silence", "warns"],
        [
            f"{spans(warns, known)} ({counted(len(warns), 'release')})",
            f"warns; {known[-1]} itself still uses `kv_both` in {counted(len(newest.files), 'file')}",
            "warns, and uses it nowhere",
        ],
        ["a later one", "[is to refuse it](https://github.com/vllm-project/vllm/issues/43807)", _refusal(lock)],
    ]
    return table(["vLLM", "By itself", "With this project's patches"], rows)


def _refusal(lock: Lock) -> str:
    newest = next(reversed(lock.releases.values()))
    entry = newest.topics.get(REFUSAL_TOPIC)
    if entry is None or entry.variant is None:
        return "refuses nothing that is left"
    return f"[refuses it today](patches/{REFUSAL_TOPIC}/index.md), with `--with {REFUSAL_TOPIC}`"


def states() -> list[tuple[str, str]]:
    """(state, meaning), from the comments beside the members of ``State``."""
    text = Path(state.__file__).read_text(encoding="utf-8")
    return re.findall(r'^    [A-Z]+ = "(\w+)"  # (.+)$', text, re.MULTILINE)
