"""The series: topics in order, each with its variants beside each other.

``patches/series`` holds one topic a line, in order of application; a topic marked ``optional`` is applied only when
asked for. ``patches/<topic>/<first-release>.patch`` serves that release and those after it, up to the next variant.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from kvroles.errors import Unproven, UsageError
from kvroles.places import Readable, project_root, restored
from kvroles.series import earlier, line_ends, parts, patchfile
from kvroles.series.earlier import Earlier
from kvroles.series.parts import Part
from kvroles.series.release import in_range, version

OVERLAY = "overlay"  # the name under which reports and the lock speak of vllm_overlay/


class Topic(NamedTuple):
    """One reason to change vLLM. ``variants`` are the first releases served, oldest first; ``part`` the only part of a tree
    that it changes here."""

    name: str
    optional: bool
    variants: tuple[str, ...]
    folder: Readable
    part: Part | None = None

    def raw(self, variant: str) -> bytes:
        """The bytes of one variant's mail."""
        return (self.folder / f"{variant}.patch").read_bytes()

    def patch(self, variant: str) -> patchfile.Patch:
        """One variant, parsed. Raises Unproven when the file is missing or damaged."""
        whole = _patch(self, variant)
        if self.part is None:
            return whole
        return whole._replace(files=tuple(f for f in whole.files if parts.of(f.path) is self.part))

    def variant_for(self, release: str) -> str | None:
        """The variant that serves ``release`` (by the variants' names and ``Applies-To`` trailers), or None."""
        best = None
        for first in self.variants:
            if version(first) <= version(release):
                best = first
        if best is None:
            return None
        applies_to = self.patch(best).trailers.get("Applies-To", "")
        try:
            return best if in_range(release, applies_to) else None
        except ValueError:
            raise Unproven(
                f"Patch {self.name}/{best}.patch is damaged: its Applies-To trailer is not a PEP 440 range",
                found=repr(applies_to),
                fix=restored("patches"),
            ) from None


@cache
def _patch(topic: Topic, variant: str) -> patchfile.Patch:
    try:
        raw = topic.raw(variant)
    except (FileNotFoundError, KeyError):
        raise Unproven(
            f"Patch patches/{topic.name}/{variant}.patch is missing, though the lock names it",
            fix=restored("patches"),
        ) from None
    if line_ends.are_converted(raw):
        raise line_ends.damaged(f"patches/{topic.name}/{variant}.patch", None)
    return patchfile.parse(raw, f"patches/{topic.name}/{variant}.patch")


class Series(NamedTuple):
    """All topics in order, the overlay's files (path in the vLLM tree -> bytes), and what earlier series made otherwise."""

    topics: tuple[Topic, ...]
    overlay: dict[str, bytes]
    earlier: Earlier = earlier.NONE

    @classmethod
    def load(cls, root: Readable | None = None) -> Series:
        """Read ``patches/`` and ``vllm_overlay/`` below ``root`` (default: the project). Patches are parsed on use."""
        root = root or project_root()
        _patch.cache_clear()  # a port loads them again because it has written some
        patches = root / "patches"
        try:
            text = (patches / "series").read_bytes().decode("utf-8")
        except (FileNotFoundError, KeyError, UnicodeDecodeError) as e:
            raise Unproven(f"patches/series cannot be read ({type(e).__name__})", fix=restored("patches")) from None
        if "\r\n" in text:
            raise line_ends.damaged("patches/series", root)
        topics = []
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if not words:
                continue
            if not re.fullmatch(r"[a-z0-9-]{1,100}", words[0]) or words[1:] not in ([], ["optional"]):
                raise Unproven(
                    f"patches/series holds a line that is no topic: {line!r}",
                    fix=restored("patches"),
                )
            folder = patches / words[0]
            names = [p.name[: -len(".patch")] for p in _children(folder) if p.name.endswith(".patch")]
            try:
                names.sort(key=version)
            except ValueError as e:
                raise Unproven(
                    f"patches/{words[0]} holds a variant whose name is no release ({e})",
                    fix="Name it <first-release>.patch",
                ) from None
            topics.append(Topic(words[0], words[1:] == ["optional"], tuple(names), folder))
        overlay = dict(sorted(_files_below(root / "vllm_overlay")))
        return cls(tuple(topics), overlay, Earlier(patches / earlier.FOLDER))

    def topic(self, name: str) -> Topic:
        """The topic called ``name``; UsageError names the ones there are."""
        for topic in self.topics:
            if topic.name == name:
                return topic
        raise UsageError(f"There is no topic {name!r}", expected=f"one of {', '.join(t.name for t in self.topics)}")

    def chosen(self, extra: tuple[str, ...] = ()) -> tuple[Topic, ...]:
        """The default topics plus the optional ones named in ``extra``, in order."""
        for name in extra:
            self.topic(name)
        return tuple(t for t in self.topics if not t.optional or t.name in extra)


def _children(folder: Readable) -> list[Readable]:
    return list(folder.iterdir()) if folder.is_dir() else []  # type: ignore[attr-defined]


def _files_below(folder: Readable, prefix: str = "") -> list[tuple[str, bytes]]:
    out = []
    for child in _children(folder):
        if child.is_dir():
            out += _files_below(child, f"{prefix}{child.name}/")
        else:
            out.append((prefix + child.name, child.read_bytes()))
    return out
