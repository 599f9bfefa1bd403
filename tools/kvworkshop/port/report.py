"""What ``tools/port.py`` prints, and the export of a topic for vLLM itself."""

from __future__ import annotations

from pathlib import Path

from kvroles.errors import UsageError, os_error
from kvroles.said import said
from kvroles.series import mail, patchfile
from kvroles.series.lock import Lock
from kvroles.series.topics import Series
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from kvroles.tree import handles

from kvworkshop.port import lock_rows
from kvworkshop.port.survey import Report


def text(report: Report) -> str:
    """A line a topic, then what was written, then what is left for a person."""
    lines = [f"vLLM {report.release}", ""]
    width = max((len(t.topic) for t in report.topics), default=0)
    lines += [f"  {t.topic:<{width}}  {t.outcome:<10}  {said(t.note)}".rstrip() for t in report.topics]
    lines.append("")
    if report.diffs:
        lines += ["Changed by meaning, because no variant's text stands in these files; please read:", ""]
        lines += [
            said(line) for told in report.diffs.values() for line in told[told.index("diff --git ") :].splitlines()[:-2]
        ]
        lines.append("")
    if report.written:
        lines += [f"  wrote  {said(path)}" for path in report.written]
    if report.kept:
        lines.append(f"  kept   {said(report.kept)}")
    if report.left:
        lines += ["Left for a person:", *(f"  - {said(item)}" for item in report.left)]
        again = f"python tools/port.py --to {report.release} --from-tree DIR"
        lines.append(f"Unpack the release, resolve these in it, and run `{again}`.")
        lines += [
            f"Then topic {t.topic}: resolve it in the tree that the default series leaves, and run `{again} --with {t.topic}`."
            for t in report.topics
            if t.optional and t.outcome == "conflict"
        ]
    else:
        lines.append("Nothing is left for a person." if report.written else "The series serves it as it is.")
    return "\n".join(lines) + "\n"


def written(paths: list[str]) -> str:
    """The files that changed, a line each."""
    return "".join(f"wrote  {said(path)}\n" for path in paths) or "Nothing changed.\n"


def export(name: str, folder: Path, series: Series, lock: Lock, options: Options) -> str:
    """Write ``name`` as one mail on the pristine newest release, in vLLM's own commit convention, with a test plan.

    The sender adds Signed-off-by, and keeps the area in brackets: ``git am --keep-non-patch --signoff``. Raises UsageError
    for topics upstream holds already.
    """
    topic = series.topic(name)
    release = next((r for r in reversed(lock.releases) if topic.variant_for(r)), None)
    newest = list(lock.releases)[-1]
    if release != newest:
        raise UsageError(f"Topic {name} does not serve {newest}, the newest release: there is nothing to send upstream")
    files = release_files.files_of(lock.releases[newest], series, lock, options)
    before, after = _change(name, newest, files, series)
    message = mail.Message.of(topic.patch(topic.variants[-1]))
    area = "Core" if any("/sched/" in p for p in after) else "KVConnector"
    subject = message.subject.partition(": ")[2] or message.subject
    tests = sorted(p for p in after if "/test_" in p)
    plan = f"pytest {' '.join(tests)}" if tests else "mkdocs build --strict"
    body = f"{message.body}\n\nTest plan:\n\n    {plan}"
    raw = mail.plain_mail(f"[{area}] {subject[:1].upper()}{subject[1:]}", body, before, after)
    file = folder / f"0001-{name}.patch"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handles.write(file, raw)  # a link of this name, which somebody may have put there, is not followed
    except OSError as e:
        raise os_error(f"{folder} cannot be written to", e) from None
    return f"{file}: on v{newest}, for `git am --keep-non-patch --signoff`\n"


def _change(
    name: str, release: str, files: dict[str, bytes], series: Series
) -> tuple[dict[str, bytes | None], dict[str, bytes | None]]:
    """The files of one topic on the pristine release, without and with it.

    An optional topic is written on top of the default series; of that, what falls into its own files goes along.
    A topic that sends readers to a page of the overlay takes that along too.
    """
    topic = series.topic(name)
    default = Series(series.chosen(), series.overlay)
    base = lock_rows.topic_rows(files, release, default)[1] if topic.optional else files
    before: dict[str, bytes | None] = {}
    after: dict[str, bytes | None] = {}
    for f in topic.patch(topic.variant_for(release) or "").files:
        before[f.path] = files.get(f.path)
        after[f.path], _ = patchfile.apply(base.get(f.path), f)
    for page, text in series.overlay.items():
        name_of_page = page.rpartition("/")[2].encode()
        if any(name_of_page in (data or b"") for data in after.values()):
            before[page], after[page] = files.get(page), text
    return before, after
