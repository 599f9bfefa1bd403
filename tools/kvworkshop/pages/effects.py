"""What the role changes in each release, as a table that a small script can narrow down, from ``role_effects.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from kvroles.series.release import version

from kvworkshop.pages.text import spans

BLOB = "https://github.com/vllm-project/vllm/blob/v"
READS = {
    "nixl": "the NIXL child's role decides",
    "instance": "the wrapper's role decides",
    "any-child": "any child's role decides",
}
FEATURES = {
    "async-scheduling": "async scheduling",
    "bidirectional": "bidirectional transfer",
    "encode-workers": "encode workers",
    "mamba": "Mamba layers",
    "metrics": "alerts on KV metrics",
    "multi-connector": "MultiConnector",
    "multimodal": "multimodal inputs",
    "pipeline-parallel": "pipeline parallelism (PP)",
    "prefill-context-parallel": "prefill context parallelism (PCP)",
    "push": "push mode",
}

# Effect -> the guide's section on what to do; the others are a row of its table.
SECTIONS = {"block-fence": "bidirectional-transfer", "pp-guard": "my-server-runs-pipeline-parallelism-what-now"}

ALWAYS = frozenset({"async-scheduling"})  # on unless switched off, so nobody is asked


def fragments(data: Mapping[str, Any]) -> dict[str, str]:
    """Name below ``build/pages`` -> HTML: the picker's form, and the table it narrows down."""
    known: list[str] = data["releases"]
    rows = "\n".join(_row(e, known) for e in data["effects"])
    head = "".join(
        f'<th scope="col"{cls}>{name}</th>'
        for name, cls in (
            ("What reads the role", ""),
            ("Prefill becomes <code>kv_producer</code>", ' class="prefill"'),
            ("Decode becomes <code>kv_consumer</code>", ' class="decode"'),
            ("Act?", ""),
        )
    )
    table = (
        '<table class="effects" id="effects">\n<caption class="visually-hidden">What the role changes, by release</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n"
    )
    return {"picker.md": _picker(data, known), "effects.md": table}


def releases_of(effect: Mapping[str, Any], known: Sequence[str]) -> list[str]:
    """Those of ``known`` that have ``effect``."""
    return [r for r in known if any(version(a) <= version(r) <= version(b) for a, b in effect["releases"])]


def _picker(data: Mapping[str, Any], known: Sequence[str]) -> str:
    options = "".join(f'<option value="{r}">{r}</option>' for r in reversed(known))
    used = {f for e in data["effects"] for f in e["features"]}
    boxes = "".join(
        f'<label><input type="checkbox" name="feature" value="{f}"> {escape(words)}</label>'
        for f, words in FEATURES.items()
        if f in used - ALWAYS
    )
    return (
        '<form class="picker" id="picker" hidden>\n'
        f'<label class="release">Release <select name="release"><option value="">any</option>{options}</select></label>\n'
        "<fieldset><legend>This instance is</legend>"
        '<label><input type="radio" name="side" value="" checked> either</label>'
        '<label><input type="radio" name="side" value="prefill"> prefill</label>'
        '<label><input type="radio" name="side" value="decode"> decode</label></fieldset>\n'
        f"<fieldset><legend>In use here (none ticked: not known)</legend>{boxes}</fieldset>\n"
        '<label><input type="checkbox" name="all"> also show what needs nothing of you</label>\n'
        '<p role="status" id="picker-says"></p>\n</form>\n'
    )


def _row(effect: Mapping[str, Any], known: Sequence[str]) -> str:
    mine = releases_of(effect, known)
    uses = ", ".join(FEATURES[f] for f in effect["features"])
    asked = "" if ALWAYS & set(effect["features"]) else " ".join(effect["features"])
    matters = f"<p><small>Matters with: {escape(uses)}.</small></p>" if uses else ""
    action = effect["action"]
    more = SECTIONS.get(effect["id"], "what-changes-in-your-release")
    act = (
        f"<strong>Yes</strong>, if: {_text(action['when'])}<br>{_text(action['do'])}"
        f' <a href="../migration/#{more}">In the guide</a>'
        if action["needed"]
        else "no"
    )
    sides = "".join(
        f'<td class="{s}" data-label="{s.capitalize()}">{_text(effect[s])}</td>' for s in ("prefill", "decode")
    )
    return (
        f'<tr id="{effect["id"]}" data-releases="{" ".join(mine)}" data-features="{asked}"'
        f' data-prefill="{_same(effect["prefill"])}" data-decode="{_same(effect["decode"])}"'
        f' data-act="{str(action["needed"]).lower()}">'
        f'<td data-label="What reads the role"><strong>{escape(effect["title"])}</strong> '
        f'<a class="headerlink" href="#{effect["id"]}" title="Link to this row">&para;</a><br>'
        f'<span class="span">{spans(mine, known)}</span>'
        f"<p>{_text(effect['what'])}</p>{matters}"
        f"<p><small>Under MultiConnector {READS[effect['reads']]}.</small></p>{''.join(_evidence(effect))}</td>"
        f'{sides}<td data-label="Act">{act}</td></tr>'
    )


def _same(text: str) -> str:
    return "same" if text.startswith("Same") else "changes"


def _evidence(effect: Mapping[str, Any]) -> Iterator[str]:
    if not effect["evidence"]:
        return
    yield "<details><summary>Where, in each release</summary><ul>"
    for release, lines in sorted(effect["evidence"].items(), key=lambda kv: version(kv[0]), reverse=True):
        links = ", ".join(
            f'<a href="{BLOB}{release}/{escape(line.replace(":", "#L"))}">{escape(line.removeprefix("vllm/"))}</a>'
            for line in lines
        )
        yield f'<li data-release="{release}">{release}: {links}</li>'
    yield "</ul></details>"


_ROLES = (
    "kv_both",
    "kv_producer",
    "kv_consumer",
    "--enable-mm-embeds",
    "NotImplementedError",
    "pipeline_parallel_size",
)


def _text(text: str) -> str:
    """Plain text as HTML, with the words of a command line or a config as code."""
    out = escape(text)
    for word in _ROLES:
        out = out.replace(word, f"<code>{word}</code>")
    return out
