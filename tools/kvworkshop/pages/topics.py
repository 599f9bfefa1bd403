"""A page per topic and per variant of the series."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvroles.series.lock import Lock
from kvroles.series.patchfile import Patch
from kvroles.series.topics import Series, Topic

from kvworkshop.pages.text import badge, code, front_matter, include, spans, table

Pages = dict[str, str]
_TRAILERS = {
    "Origin": "Where it came from",
    "Upstream-Status": "Upstream",
    "Applies-To": "Written for",
    "Native-Since": "Native since",
    "Remove-When": "Goes away when",
}


def served(lock: Lock, topic: str, variant: str) -> list[str]:
    """The releases that ``variant`` of ``topic`` serves, oldest first."""
    return [r for r, row in lock.releases.items() if (t := row.topics.get(topic)) and t.variant == variant]


def native(lock: Lock, topic: str) -> list[str]:
    """The releases that hold the change of ``topic`` themselves, oldest first."""
    return [r for r, row in lock.releases.items() if (t := row.topics.get(topic)) and t.state == "native"]


def pages(series: Series, lock: Lock) -> Pages:
    """Path below ``docs/`` -> Markdown: ``patches/index.md``, and for each topic its own page and its variants'."""
    out = {"patches/index.md": _index(series, lock)}
    for topic in series.topics:
        out[f"patches/{topic.name}/index.md"] = _topic(topic, lock)
        for variant in topic.variants:
            out[f"patches/{topic.name}/{variant}.md"] = _variant(topic, variant, lock)
    return out


def downloads(series: Series) -> dict[str, bytes]:
    """Path below ``docs/`` -> bytes: every variant as the mail that ``git am`` takes."""
    return {f"patches/{t.name}/{v}.patch": t.raw(v) for t in series.topics for v in t.variants}


def _newest(topic: Topic) -> Patch:
    return topic.patch(topic.variants[-1])


def _index(series: Series, lock: Lock) -> str:
    known = list(lock.releases)
    rows = []
    for number, topic in enumerate(series.topics, 1):
        patched = [r for v in topic.variants for r in served(lock, topic.name, v)]
        rows.append(
            [
                str(number),
                f"[{topic.name}]({topic.name}/index.md)" + (" (optional)" if topic.optional else ""),
                _safe(_newest(topic).subject),
                str(len(topic.variants)),
                spans(patched, known),
                spans(native(lock, topic.name), known) or "none",
            ]
        )
    head = ["Order", "Topic", "What it does", "Variants", "Patched", "Native"]
    return (
        front_matter("The series", "patches/series", description="Every topic and variant of the series")
        + "# The series\n\nA topic is one reason to change vLLM. They are applied in this order; optional ones only with "
        "`--with TOPIC`. Each topic has as many variants as the text of vLLM forces, and each release uses one of them.\n\n"
        + table(head, rows)
        + "\nBeside the patches every tree gets one new file, the [migration guide](../migration.md). "
        "Which release uses what, with line offsets: the [compatibility matrix](../compatibility.md).\n"
    )


def _topic(topic: Topic, lock: Lock) -> str:
    known = list(lock.releases)
    patch = _newest(topic)
    rows = []
    for variant in topic.variants:
        files = topic.patch(variant).files
        rows.append(
            [
                f"[{variant}]({variant}.md)",
                spans(served(lock, topic.name, variant), known) or "none",
                str(len(files)),
                str(sum(len(f.hunks) for f in files)),
                f"[patch]({variant}.patch)",
            ]
        )
    optional = (
        f'\n!!! note "Optional"\n    Not applied unless asked for: `--with {topic.name}`.\n' if topic.optional else ""
    )
    natives = native(lock, topic.name)
    absent = [r for r, row in lock.releases.items() if r not in natives and not _variant_of(row.topics, topic.name)]
    more = f"\n{badge('native')} in {spans(natives, known)}: upstream holds the change there.\n" if natives else ""
    more += f"\n{badge('absent')} in {spans(absent, known)}: nothing to change there.\n" if absent else ""
    return (
        front_matter(topic.name, f"patches/{topic.name}", description=patch.subject)
        + f"# {topic.name}\n\n{_facts(patch, {'Applies-To'})}{optional}\n"
        + "## Why\n\n"
        + _prose(patch)
        + "\n\n## Variants\n\n"
        + table(["Variant", "Serves", "Files", "Hunks", "Raw"], rows)
        + more
    )


def _variant_of(topics: Mapping[str, object], name: str) -> str | None:
    return getattr(topics.get(name), "variant", None)


def _variant(topic: Topic, variant: str, lock: Lock) -> str:
    known = list(lock.releases)
    patch = topic.patch(variant)
    source = f"patches/{topic.name}/{variant}.patch"
    releases = served(lock, topic.name, variant)
    at = topic.variants.index(variant)
    around = [
        f"[older: {v}]({v}.md)" if i < at else f"[newer: {v}]({v}.md)"
        for i, v in enumerate(topic.variants)
        if abs(i - at) == 1
    ]
    files = table(["File", "Hunks"], [[code(f.path), str(len(f.hunks))] for f in patch.files])
    return (
        front_matter(
            f"{topic.name} {variant}", source, searched=False, description=patch.subject, hide=("navigation", "toc")
        )
        + f"# {topic.name}, variant {variant}\n\n"
        + f"Topic [{topic.name}](index.md) · [download]({variant}.patch){{ download }}"
        + "".join(f" · {a}" for a in around)
        + f"\n\nServes **{spans(releases, known) or 'no release'}**.\n\n"
        + _facts(patch, set())
        + "\n## Why\n\n"
        + _prose(patch)
        + "\n\n## Files\n\n"
        + files
        + "\n## The patch\n\n"
        + include(source, "diff", patch.raw.decode("utf-8", "replace"))
    )


def _facts(patch: Patch, without: set[str]) -> str:
    rows = [
        (label, _safe(patch.trailers[name]))
        for name, label in _TRAILERS.items()
        if name not in without and name in patch.trailers
    ]
    return f"**{_safe(patch.subject)}**\n\n" + "".join(f"- {label}: {text}\n" for label, text in rows)


def _prose(patch: Patch) -> str:
    return _safe(patch.body)


_PLAIN = re.compile(
    r"(?P<kept>`[^`\n]+`)"
    # An address; a trailer's reference stands in brackets, which are dropped.
    r"|\[(?P<ref>https?://[^\]\s\"'<>`]+)\]|(?P<url>https?://[^\s)>\]\"'<`]*[^\s)>\]\"'<`.,;:])"
    # A name with an underscore, with the path, value or pattern that it is part of.
    r"|(?P<code>(?:[\w.-]+/)*\w+(?:='?\w+'?|_\w+)(?:\.\*\w+|(?:\.\w+)+|\(\))?)"
    r"|(?P<mark>[<>&*_\[\]{}!#|\\~^$=])"
)


def _safe(text: str) -> str:
    """A mail's plain text as Markdown: addresses become links, what looks like code becomes code, no sign is mark-up."""

    def shown(m: re.Match[str]) -> str:
        if m["mark"]:
            return f"&#{ord(m['mark'])};"
        address = m["ref"] or m["url"]
        return f"<{address}>" if address else m["kept"] or code(m["code"])

    return _PLAIN.sub(shown, text)
