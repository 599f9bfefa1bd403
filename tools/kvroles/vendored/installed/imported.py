"""Whether Python imports the files of vLLM that were read, and no other in place of one. Each function raises Unproven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kvroles.errors import Unproven
from kvroles.said import shell
from kvroles.vendored.installed import asked, census, shadow
from kvroles.vendored.installed.asked import Answer
from kvroles.vendored.installed.distribution import Installed
from kvroles.vendored.installed.search import same
from kvroles.vendored.record import Record


def refuse_shadows(found: Installed, names: dict[str, str], record: Record | None) -> None:
    """Refuse a file without a row in RECORD that stands where Python looks for a module of the package before it comes to the
    module's own file. ``names`` are the modules and their files, as the folders have them."""
    assert found.search is not None
    if record is None:
        return
    listed = [e.path for e in record.entries]
    for name, path in census.modules(listed, found.search.interpreter.suffixes).items():
        if names.get(name, path) != path:
            raise _shadowed(found, path, str(found.site / names[name]), "it stands before it in the same folder")


def refuse_earlier_place(found: Installed) -> None:
    """Refuse another vllm in a place that Python searches before the package's own."""
    assert found.search is not None
    if found.missing_from_path is not None:
        return
    first = found.search.first()
    if first is not None and not same(first[1], found.site / "vllm/__init__.py"):
        raise _shadowed(found, "vllm/__init__.py", str(first[1]), f"{first[0].why} puts it first")


def ask_python(found: Installed, names: dict[str, str], ours: Sequence[str]) -> Answer:
    """Ask Python, run as it will be, which file it imports for each module of ``names``. Any other than the one that was read is
    refused, and so is none for ``ours``, the files of the series. Returns its answer without vLLM's own modules."""
    assert found.search is not None
    answer = asked.ask(found.search, list(names), found.missing_from_path)
    for name, file in answer.loaded.items():
        if name.partition(".")[0] != census.PACKAGE:
            continue
        if name not in names or not same(Path(file), found.site / names[name]):
            raise _shadowed(
                found, names.get(name, "vllm/__init__.py"), file, f"start-up code has imported {name} already"
            )
    for name, path in names.items():
        file = answer.found.get(name) or "nothing"
        if (file != "nothing" or path in ours) and not same(Path(file), found.site / path):
            raise _shadowed(found, path, file, "so it answered when it was asked, run as vLLM will be")
    return replace(answer, loaded={n: f for n, f in answer.loaded.items() if n.partition(".")[0] != census.PACKAGE})


def _shadowed(found: Installed, path: str, by: str, why: str) -> Unproven:
    assert found.search is not None
    if Path(by).is_relative_to(found.site / "vllm"):
        gone = Path(by).parent if Path(by).name.startswith("__init__.") and not path.endswith("/__init__.py") else by
        way = f"Take it away: `{shell('rm', '-r', '--', str(gone))}`"
        if not (found.site / path).is_file():
            way += f". {found.anew}"
    else:
        way = shadow.way_out(found.search, Path(by) if by else None, "verify")
    return Unproven(
        f"Python would import {by or 'a module without a file'} in place of {path} in {found.site}: {why}",
        expected=f"{found.site / path}, whose bytes were read",
        found=by or "no file",
        fix=way,
    )
