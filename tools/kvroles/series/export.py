"""The series of one release as numbered mails, ready for ``git am``: the same bytes as a run leaves in a tree."""

from __future__ import annotations

from pathlib import Path

from kvroles.errors import UsageError, os_error
from kvroles.series import mail
from kvroles.series.lock import Lock
from kvroles.series.release import resolve
from kvroles.series.topics import OVERLAY, Series


def write(series: Series, lock: Lock, revision: str, folder: Path, extra: tuple[str, ...] = ()) -> list[str]:
    """Write the mails that make up the series for ``revision`` into ``folder``; returns their paths, in order.

    Raises UsageError for an unknown revision or a folder that holds something else, whose mails ``git am`` would take
    along, and DoesNotApply when the folder cannot be written.
    """
    release = resolve(revision, lock.releases)
    row = lock.releases[release]
    mails: list[tuple[str, bytes]] = []
    for topic in series.chosen(extra):
        entry = row.topics.get(topic.name)
        if entry is not None and entry.variant is not None:
            mails.append((topic.name, topic.raw(entry.variant)))
    mails.append((OVERLAY, overlay_mail(series)))
    lines = []
    names = {f"{number:04d}-{name}.patch" for number, (name, _) in enumerate(mails, 1)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not {p.name for p in folder.iterdir()} <= names:
            raise UsageError(f"{folder} holds other files", fix="Give --export a new or empty folder")
        for number, (name, raw) in enumerate(mails, 1):
            file = folder / f"{number:04d}-{name}.patch"
            file.unlink(missing_ok=True)  # a link of this name, which somebody may have put there, is not followed
            with file.open("xb") as f:
                f.write(raw)
            lines.append(str(file))
    except OSError as e:
        raise os_error(f"{folder} cannot be written to", e, "Choose another folder with --export") from None
    return lines


def overlay_mail(series: Series) -> bytes:
    """The overlay's new files as a mail of their own."""
    message = mail.Message(
        "Add the migration guide from kv_both to explicit KV roles",
        "The guides and the deprecation warning tell deployers to set an explicit role\n"
        "per side; this page says how, for every carrier a config is found in, and\n"
        "what each release does with the role.",
        {
            "Topic": OVERLAY,
            "Origin": "downstream",
            "Upstream-Status": "Inappropriate [written for every release from 0.9.0 on, not only the next]",
            "Native-Since": "none",
            "Remove-When": "vLLM ships a migration guide of its own",
        },
    )
    nothing: dict[str, bytes | None] = dict.fromkeys(series.overlay)
    return mail.mail(message, ">=0.9.0", nothing, series.overlay, 3)
