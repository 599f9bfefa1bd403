"""The documentation's own files, and the code blocks in them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "vllm_overlay" / "docs" / "features" / "nixl_kv_role_migration.md"
_FENCE = re.compile(r"(?P<indent> *)(?P<mark>`{3,})(?P<info>[\w+-]*)")


@dataclass(frozen=True)
class Block:
    """One fenced code block: ``line`` is that of its fence (1-based), ``under`` the last plain line before it."""

    path: Path
    line: int
    info: str
    text: str
    under: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def written_pages() -> list[Path]:
    """Every Markdown file that a person wrote and a reader meets."""
    own = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", GUIDE]
    generated = (ROOT / "docs" / "patches", ROOT / "docs" / "reference")
    site = [p for p in sorted((ROOT / "docs").rglob("*.md")) if not any(g in p.parents for g in generated)]
    return own + site


def blocks(path: Path) -> Iterator[Block]:
    """The code blocks of one file, indented ones (in tabs) included."""
    lines = path.read_text(encoding="utf-8").split("\n")
    under = ""
    i = 0
    while i < len(lines):
        m = _FENCE.fullmatch(lines[i])
        if m is None:
            under = lines[i].strip() or under
            i += 1
            continue
        start = i
        i += 1
        body = []
        while lines[i].strip() != m["mark"]:
            body.append(lines[i].removeprefix(m["indent"]))
            i += 1
        yield Block(path, start + 1, m["info"], "\n".join(body) + "\n", under)
        i += 1


def all_blocks(*infos: str) -> list[Block]:
    """The blocks of every written page with one of these languages."""
    return [b for p in written_pages() for b in blocks(p) if b.info in infos]


def typed(transcript: str) -> str:
    """What a person types in a ``console`` block: the lines behind ``$ ``, and behind ``> `` where a line goes on."""
    return "\n".join(line[2:] for line in transcript.split("\n") if line.startswith(("$ ", "> ")))


def our_commands(block: Block) -> Iterator[list[str]]:
    """The words of each command in a shell block that starts one of our tools: ``['apply.py', '--vllm-rev', ...]``."""
    text = block.text
    if block.info == "console":
        text = "\n".join(line[2:] for line in text.split("\n") if line.startswith("$ "))
    for line in text.replace("\\\n", " ").split("\n"):
        for command in re.split(r"&&|\||;", line):
            words = shlex.split(command, comments=True)
            if words[:1] == ["python"] and len(words) > 1 and words[1].startswith("tools/"):
                yield [words[1].removeprefix("tools/"), *words[2:]]


def checkout(to: Path) -> Path:
    """A copy of the checkout in ``to`` as git would commit it: no caches, no build products."""
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, names.split("\0")):
        source = ROOT / name
        if source.is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / name)
    return to
