"""The vLLM in an image that is not run: which folder holds it, who vouches for it, and what each of its files is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path

from kvroles.errors import DoesNotApply, NoSource, Unproven, UsageError
from kvroles.said import shell
from kvroles.vendored.image.contents import RUN_IT, Entry
from kvroles.vendored.image.layout import ANEW, Image
from kvroles.vendored.installed.distribution import VERSION, Installed
from kvroles.vendored.record import Record, is_bytecode

_PROVES = "vllm/__init__.py"
_PACKAGES = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Found:
    """The package below ``top`` (``usr/lib/.../site-packages``). ``entry`` and ``read`` take paths from ``top`` on."""

    image: Image
    top: str
    installed: Installed
    entries: dict[str, Entry]  # of the whole image
    record: Record | None

    def entry(self, path: str) -> Entry | None:
        return self.entries.get(f"{self.top}/{path}")

    def read(self, path: str) -> bytes | None:
        """The bytes of a file that was kept. Raises Unproven for a link, which nothing here follows."""
        entry = self.entry(path)
        if entry is None:
            return None
        if entry.kind != "file" or entry.data is None:
            raise Unproven(
                f"/{self.top}/{path} in the image is {'a link' if entry.kind == 'link' else 'no file whose bytes were kept'}",
                fix=RUN_IT,
            )
        return entry.data


@dataclass(frozen=True)
class Census:
    """How many files of the package were read, and what of them is not as RECORD says (``odd``)."""

    read: int
    as_recorded: int
    unvouched: int
    odd: tuple[str, ...]
    bytecode: int  # not compared with its source, for which its Python would have to run
    elsewhere: int  # scripts and data outside of the packages' folder: RECORD names them, and they were not read
    startup: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What was read, in words that a receipt may keep."""
        said = f"{self.read} files read: {self.as_recorded} as RECORD says"
        if self.unvouched:
            said = f"{self.read} files read: no RECORD vouches for {self.unvouched} of them"
        return said + (f", {len(self.odd)} not" if self.odd else "")


def find(image: Image, entries: dict[str, Entry], asked: str | None, *, runtime: bool) -> Found:
    """The one vLLM of the image. Raises NoSource, DoesNotApply or UsageError where that is not certain without running it."""
    tops = sorted(p.removesuffix(f"/{_PROVES}") for p in entries if p.endswith(f"/{_PROVES}"))
    tops = [t for t in tops if f"{t}/vllm/__init__.py" in entries and not _inside_another(t, tops)]
    where = f"the image for {image.platform}"
    if asked is not None:
        top = asked.strip("/")
        if top not in tops:
            raise UsageError(
                f"--site-packages /{top} holds no vllm in {where}", found=_listed(tops), fix="Give it one of these"
            )
    else:
        likely = [t for t in tops if t.rpartition("/")[2] in _PACKAGES] or tops
        if not likely:
            raise NoSource(f"There is no vllm/__init__.py in {where}", fix="Name an image of vLLM with --base")
        if len(likely) > 1:
            raise DoesNotApply(
                f"There is more than one vLLM in {where}, and which of them runs is not known before it is run",
                expected="one",
                found=_listed(likely),
                fix="Name the folder with --site-packages, or build it with 'vendor.py image', which asks its Python",
            )
        (top,) = likely
    _no_link(top, entries, where)
    _first(image, top, entries, where)
    return _vouched(image, top, entries, where, runtime=runtime)


def _inside_another(top: str, tops: list[str]) -> bool:
    return any(top != t and top.startswith(f"{t}/vllm/") for t in tops)


def _listed(tops: list[str]) -> str:
    return ", ".join(f"/{t}" for t in tops) or "none"


def _no_link(top: str, entries: dict[str, Entry], where: str) -> None:
    parts = f"{top}/vllm".split("/")
    for i in range(1, len(parts) + 1):
        at = "/".join(parts[:i])
        if at in entries and entries[at].kind != "folder":
            raise DoesNotApply(
                f"/{at} in {where} is a link, so that the files below it lie elsewhere",
                fix=RUN_IT,
            )


def _first(image: Image, top: str, entries: dict[str, Entry], where: str) -> None:
    """Raise Unproven where the configuration puts a place with another vLLM, or an archive, before the package's folder."""
    config = image.config.get("config") or {}
    env = dict(str(pair).partition("=")[::2] for pair in config.get("Env") or [])
    places = [(p, "PYTHONPATH") for p in env.get("PYTHONPATH", "").split(":") if p]
    if not env.get("PYTHONSAFEPATH"):
        places.append((str(config.get("WorkingDir") or "/"), "the working directory"))
    for place, why in places:
        folder = place.strip("/")
        if folder == top:
            return
        prefix = f"{folder}/" if folder else ""
        other = next((m for m in _modules(entries, prefix)), None)
        if other is not None:
            package = other == f"{prefix}{_PROVES}"
            gone = shell("RUN", "rm", "-r", "--", f"/{prefix}vllm" if "/vllm/" in f"/{other}" else f"/{other}")
            raise Unproven(
                f"Python would import /{other} in place of the vLLM in /{top} of {where}: {why} puts it first",
                fix=f"Take it out in a build from the image: `{gone}`"
                + (f". Or patch that one: `--site-packages /{folder}`" if package else ""),
            )
        archive = entries.get(folder)
        if archive is not None and archive.kind == "file":
            raise Unproven(
                f"PYTHONPATH puts /{folder} of {where} first, an archive that was not looked into",
                fix=RUN_IT,
            )


def _modules(entries: dict[str, Entry], prefix: str) -> Iterator[str]:
    """What Python would load for ``import vllm`` from the folder ``prefix``: a package before a module."""
    for start in (f"{prefix}vllm/__init__.", f"{prefix}vllm."):
        yield from sorted(p for p in entries if p.startswith(start) and p.endswith((".py", ".pyc", ".so")))


def _vouched(image: Image, top: str, entries: dict[str, Entry], where: str, *, runtime: bool) -> Found:
    infos = []
    for path, entry in entries.items():
        folder, _, name = path.rpartition("/")
        if name == "RECORD" and folder.rpartition("/")[0] == top and folder.endswith(".dist-info") and entry.data:
            info = folder.rpartition("/")[2]
            if _PROVES.encode() in entry.data:
                record = Record.parse(entry.data, f"/{folder}", ANEW)
                if _PROVES in record:
                    infos.append((info, record))
    if len(infos) > 1:
        raise DoesNotApply(
            f"Two distributions in /{top} of {where} list vllm/__init__.py",
            found=", ".join(i for i, _ in infos),
            fix="Take them out in a build from the image, and install one again: "
            f"`{shell('RUN', 'python3', '-m', 'pip', 'uninstall', '--yes', *(i.partition('-')[0] for i, _ in infos))}`",
        )
    site = Path("/") / top
    if not infos:
        if not runtime:
            raise DoesNotApply(
                f"No RECORD in /{top} of {where} lists vllm/__init__.py, so that nothing vouches for its files",
                expected="an installation by pip, uv or another installer that writes RECORD",
                fix="Patch the files all the same, fitted by their bytes or by exact context, with `--part runtime`",
            )
        return Found(image, top, Installed(site, "", "vllm", _version(top, entries), None), entries, None)
    info, record = infos[0]
    metadata = entries.get(f"{top}/{info}/METADATA")
    fields = BytesHeaderParser().parsebytes((metadata.data if metadata else None) or b"")
    name, number = str(fields["Name"] or "").strip(), str(fields["Version"] or "").strip()
    if not name or not number:
        raise Unproven(f"METADATA in /{top}/{info} of {where} names no name and version", fix=ANEW)
    return Found(image, top, Installed(site, info, name, number, None), entries, record)


def _version(top: str, entries: dict[str, Entry]) -> str:
    for name in ("_version.py", "__init__.py"):
        entry = entries.get(f"{top}/vllm/{name}")
        m = VERSION.search(entry.data or b"") if entry else None
        if m:
            return m[1].decode("utf-8", "replace")
    return ""


def census(found: Found) -> Census:
    """Hold every file against RECORD, and name what RECORD does not know."""
    listed = {} if found.record is None else {e.path: e for e in found.record.entries}
    info = found.installed.info
    mine = (f"{found.top}/vllm/", *([f"{found.top}/{info}/"] if info else []))
    here = {p.removeprefix(f"{found.top}/"): e for p, e in found.entries.items() if p.startswith(mine)}
    own = {f"{info}/{n}" for n in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")}
    read = good = unvouched = compiled = elsewhere = 0
    odd = []
    for path in dict.fromkeys([*listed, *here]):
        entry = here.get(path) if not path.startswith("../") else found.entries.get(_above(found.top, path))
        row = listed.get(path)
        if entry is not None and entry.kind == "folder":
            continue
        if is_bytecode(path) and "__pycache__" in path.split("/"):
            compiled += entry is not None
            continue
        if entry is None or entry.sha256 is None:
            if entry is None and path.startswith("../"):
                elsewhere += 1
            else:
                odd.append(f"{path} {'is missing' if entry is None else 'is a link, or no file'}")
            continue
        read += 1
        if row is not None and row.sha256 is not None:
            if row.sha256 == entry.sha256:
                good += 1
            else:
                odd.append(f"{path} is not what RECORD says")
        elif path in own or path.startswith(f"{info}/kv-roles/originals/"):
            good += 1
        elif found.record is None:
            unvouched += 1
        else:
            odd.append(f"{path} {'is not in RECORD' if row is None else 'has no hash in RECORD'}")
    return Census(read, good, unvouched, tuple(sorted(odd)), compiled, elsewhere, _startup(found))


def _above(top: str, path: str) -> str:
    folders = top.split("/")
    while path.startswith("../"):
        path = path[3:]
        folders = folders[:-1]
    return "/".join([*folders, path])


def _startup(found: Found) -> tuple[str, ...]:
    """The start-up code that lies in the package's own folder: it is named, not judged."""
    out = []
    for path, entry in found.entries.items():
        folder, _, name = path.rpartition("/")
        if folder == found.top and (
            name in ("sitecustomize.py", "usercustomize.py") or (name.endswith(".pth") and _imports(entry.data or b""))
        ):
            out.append(f"/{path}")
    return tuple(sorted(out))


def _imports(data: bytes) -> bool:
    return any(line.startswith((b"import ", b"import\t")) for line in data.splitlines())
