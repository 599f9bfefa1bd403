"""The layer that is laid over a base image: a tar archive of what replaces its files and what comes beside them."""

from __future__ import annotations

import io
import tarfile

from kvroles.vendored.image import contents, packages

_STAMP = 315532800  # 1980-01-01, the time of every file in the layer
_ROOT = contents.Entry("folder", 0o755, 0, 0, _STAMP)


def archive(found: packages.Found, replaced: dict[str, bytes], added: dict[str, bytes]) -> bytes:
    """The tar archive that is laid over the base.

    It holds the folders above its files too, with the mode and owner that they have in the base: a runtime gives folders that a
    layer does not hold a mode of its own. Bytecode of what was replaced is deleted.
    """
    out = io.BytesIO()
    folders: dict[str, tarfile.TarInfo] = {}
    files: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    record = found.entry(found.installed.record) if found.installed.info else None
    model = record or found.entry(next(iter(replaced)))
    assert model is not None  # it was read
    like = found.entries.get(f"{found.top}/{found.installed.info}".rstrip("/"))

    def place(path: str, data: bytes, entry: contents.Entry, mode: int) -> None:
        full = f"{found.top}/{path}"
        parts = full.split("/")
        for i in range(1, len(parts)):
            at = "/".join(parts[:i])
            if at not in folders:
                had = found.entries.get(at)
                folders[at] = _header(f"{at}/", had or like or _ROOT, (had or like or _ROOT).mode, had is not None)
        files[full] = (_header(full, entry, mode, False), data)
        files[full][0].size = len(data)

    for path, data in replaced.items():
        had = found.entry(path)
        assert had is not None
        place(path, data, had, had.mode)
    for path, data in added.items():
        place(path, data, model, 0o644 | (model.mode & 0o020))
    for path in _stale(found, replaced):
        folder, _, name = path.rpartition("/")
        place(f"{folder}/.wh.{name}", b"", model, 0o644)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for at in sorted(folders.keys() | files.keys()):
            if at in folders:
                folders[at].type = tarfile.DIRTYPE
                tar.addfile(folders[at])
            else:
                tar.addfile(files[at][0], io.BytesIO(files[at][1]))
    return out.getvalue()


def _header(name: str, like: contents.Entry, mode: int, own_time: bool) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.mode, made.uid, made.gid = mode, like.uid, like.gid
    made.mtime = like.mtime if own_time else _STAMP
    made.pax_headers = dict(like.xattrs)
    return made


def _stale(found: packages.Found, replaced: dict[str, bytes]) -> list[str]:
    """Bytecode of what is replaced."""
    out = []
    for path in replaced:
        if path.endswith(".py"):
            folder, _, name = path.rpartition("/")
            prefix = f"{found.top}/{folder}/__pycache__/{name.removesuffix('.py')}."
            out += [p.removeprefix(f"{found.top}/") for p in found.entries if p.startswith(prefix)]
    return sorted(out)
