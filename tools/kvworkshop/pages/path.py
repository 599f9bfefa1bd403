"""What changes on the way from one release to another, a section a release: from the effects and from the claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kvroles.series.release import version

from kvworkshop.effects.claims import Claim
from kvworkshop.pages.effects import releases_of
from kvworkshop.pages.text import spans

PARTS = {"role": "If you set explicit roles", "any": "Whatever the role"}


def fragments(data: Mapping[str, Any], claims: Sequence[Claim]) -> dict[str, str]:
    """Name below ``build/pages`` -> Markdown: the form, and the sections it narrows down."""
    known: list[str] = data["releases"]
    return {"path-form.md": _form(known), "path.md": "".join(_sections(data, claims, known))}


def _form(known: Sequence[str]) -> str:
    options = "".join(f'<option value="{r}">{r}</option>' for r in known)
    return (
        '<form class="picker" id="path-form" hidden>\n'
        f'<label class="release">From <select name="from">{options}</select></label>\n'
        f'<label class="release">To <select name="to">{options}</select></label>\n'
        '<p role="status" id="path-says"></p>\n</form>\n'
    )


def _sections(data: Mapping[str, Any], claims: Sequence[Claim], known: Sequence[str]) -> Iterator[str]:
    """A section for each release that changes something, and one line for each run of releases that do not."""
    quiet: list[str] = []
    for release in known:
        role, any_role = list(_with_role(data, release, known)), list(_under_any(claims, release))
        if not role and not any_role:
            quiet.append(release)
            continue
        yield from _quiet(quiet, known)
        quiet = []
        yield f'\n<div class="step" data-release="{release}" markdown>\n\n## {release} {{ #v{release} }}\n'
        for title, lines in ((PARTS["any"], any_role), (PARTS["role"], role)):
            if lines:
                yield f"\n**{title}**\n\n" + "".join(lines)
        yield "\n</div>\n"
    yield from _quiet(quiet, known)


def _quiet(releases: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    if releases:
        anchors = "".join(f'<span id="v{r}"></span>' for r in releases)
        yield (
            f'\n<div class="step quiet" data-release="{" ".join(releases)}" markdown>\n\n'
            f"{anchors}{spans(releases, known)}: none of the changes that this page knows.\n\n</div>\n"
        )


def _with_role(data: Mapping[str, Any], release: str, known: Sequence[str]) -> Iterator[str]:
    """An item for each effect that ``release`` has and the one before had not, and for each that goes away."""
    before = known[known.index(release) - 1] if known.index(release) else None
    for effect in data["effects"]:
        mine = releases_of(effect, known)
        link = f"[{effect['title']}](does-my-release-care.md?release={release}#{effect['id']})"
        if release in mine and before not in mine:
            sides = [f"{s}: {effect[s]}" for s in ("prefill", "decode") if not effect[s].startswith("Same")]
            action = effect["action"]
            act = f" **If** {_lower(action['when'])} **{action['do']}**" if action["needed"] else ""
            yield f"- {link}. {' '.join(x[0].upper() + x[1:] for x in sides)}{act}\n"
        elif before in mine and release not in mine:
            yield f"- {link} is gone in this release.\n"


def _under_any(claims: Sequence[Claim], release: str) -> Iterator[str]:
    for claim in claims:
        if claim.change is not None and version(claim.change.at) == version(release):
            do = f" **{claim.change.do}**" if claim.change.do else ""
            yield f"- {claim.change.says}{do} [Evidence](reference/claims.md#{claim.id})\n"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:].rstrip(".") + ":"
