"""Forks and release candidates (``docs/data/forks.json``), and what ports leave to a person (``docs/data/ports.json``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvworkshop.pages.text import code, front_matter, plain, table

_GITHUB = "https://github.com"
_HOW = {"proven": "by the variants' text", "by meaning": "by meaning in some files", "refused": "refused"}


def page(forks: Mapping[str, Any]) -> str:
    """``reference/forks.md``: a row a branch or tag, as it was when it was tried."""
    rows = []
    for row in forks["rows"]:
        where = f"{_GITHUB}/{row['repository']}"
        note = plain(row["why"].partition(". ")[0]) if row["why"] else ", ".join(map(code, row["by_meaning"]))
        rows.append(
            [
                f"[{plain(row['repository'])}]({where})",
                code(row["ref"]),
                f"[{code(row['commit'][:12])}]({where}/commit/{row['commit']})",
                row["date"],
                plain(row["nearest"] or "-"),
                _HOW[row["outcome"]],
                note,
            ]
        )
    unread = sorted({path for row in forks["rows"] for path in row["unread"]})
    lacking = f" Not read, because the clones lacked them: {', '.join(map(code, unread))}." if unread else ""
    proven = sum(row["outcome"] != "refused" for row in forks["rows"])
    return (
        front_matter(
            "Forks and release candidates",
            "docs/data/forks.json",
            boost=0.4,
            description="Which branches of forks and which release candidates the series was proven on, and at which commit",
        )
        + "# Forks and release candidates\n\n"
        + f"Tried on {forks['tried']} with series {forks['series']}: {proven} of {len(forks['rows'])} proven. Each row is one "
        "commit; a branch moves on, and [a range](../howto/fork-or-commit.md#every-commit-of-a-branch) tells whether the series "
        "still serves it. The proof is the [contract](../explanation/design.md#the-contract), from the bytes of that commit; "
        f"nothing was run.{lacking}\n\n"
        + table(
            ["Repository", "Branch or tag", "Commit", "Of", "Nearest release", "Proven", "What was read, or why not"],
            rows,
        )
        + "\nThe table is [forks.json](../data/forks.json). `python bench/forks.py CLONES --write` makes it again, with a bare "
        "clone of each repository at `CLONES/OWNER+NAME/repo`. Forks that carry a NIXL connector outside of vLLM's tree, as "
        "plugins for other hardware do, are not patched by this series, and have no row.\n" + _main(forks)
    )


def _main(forks: Mapping[str, Any]) -> str:
    """What is known of vLLM's main branch, and of the nightly wheels made of it."""
    text = (
        "\n## Main and its nightly wheels\n\n"
        "A nightly wheel of vLLM is a commit of its main branch, whose name the wheel's version holds after the `g`: ask for it "
        "with `--upstream` and that commit. No nightly wheel itself was tried: their index was not within reach when this table "
        "was made, and the series changes no compiled file.\n"
    )
    drawn = forks.get("main")
    if drawn is None:
        return text
    return text + (
        f"\nOf {drawn['commits']} commits of main from {drawn['since']} to {drawn['until']}, drawn evenly over the months, "
        f"{drawn['proven']} are proven by the variants' text, {drawn['by_meaning']} by meaning in some files, and "
        f"{drawn['refused']} are refused: `python bench/commits.py CLONE --seed {drawn['seed']} --count {drawn['commits']}`.\n"
    )


def ports(table_: Mapping[str, Any]) -> str:
    """The sentence on how many releases a port would have served alone."""
    releases = table_["releases"]
    left = [release for release, told in releases.items() if told["left"]]
    rest = f" A person was needed for {', '.join(left)}." if left else ""
    return f"Tried so, {len(releases) - len(left)} of {len(releases)} releases need no person.{rest}\n"
