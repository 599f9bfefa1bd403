"""Where the commands of the pages are run: the names that the pages use exist there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import release_files
from kvroles.sources.release_files import Options
from support import docs, files, terminal

SERIES, LOCK = project.load()


def pristine(release: str) -> dict[str, bytes]:
    """The files of a release that the series is about."""
    return dict(release_files.extract(LOCK.releases[release], SERIES, Options(default_cache_dir())).files)


@dataclass
class World:
    """A checkout with a clone of vLLM beside it, an index of the test's own, and a cache with real archives in it."""

    folder: Path
    archive: Callable[[str], Path]
    stands_for: dict[str, str] = field(default_factory=dict)  # what a page names -> what it is here
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.checkout, self.vllm = self.folder / "vllm-kv-roles", self.folder / "vllm"
        self.cache = self.folder / "cache" / "vllm-kv-roles"
        who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "x"), ("EMAIL", "x@localhost"))}
        index = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": self.index.as_uri()}
        alone = {"GIT_CONFIG_GLOBAL": os.devnull, "XDG_CACHE_HOME": str(self.folder / "cache"), "NO_COLOR": "1"}
        self.env = {**os.environ, **who, **index, **alone, "PATH": terminal.PATH}

    @property
    def index(self) -> Path:
        return self.folder / "simple"

    def check_out(self) -> None:
        docs.checkout(self.checkout)

    def cached(self, *releases: str) -> None:
        """Put the archives of ``releases`` into the cache."""
        (self.cache / "archives").mkdir(parents=True, exist_ok=True)
        for release in releases:
            file = self.archive(release)
            shutil.copyfile(file, self.cache / "archives" / file.name)

    def cached_all(self) -> None:
        """Put every archive into the cache, and what was read of them."""
        files.own_cache(self.cache)

    def publish(self, file: Path) -> None:
        """Put ``file`` on the index."""
        page = self.index / "vllm"
        page.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, page / file.name)
        (page / "index.html").write_text("".join(f'<a href="{p.name}">x</a>' for p in page.iterdir()))

    def commit(self, content: dict[str, bytes], *refs: str) -> None:
        """Commit ``content`` as the whole of the vLLM clone, and name it ``refs``: ``v...`` a tag, others branches."""
        if not self.vllm.exists():
            self.run(f"git init -q -b main {self.vllm}", cwd=self.folder)
        for path in self.run("git ls-files", cwd=self.vllm).split():
            (self.vllm / path).unlink()
        files.put(self.vllm, {**content, "vllm/__init__.py": b""})
        self.run("git add -Af . && git commit -q --allow-empty -m x", cwd=self.vllm)
        for ref in refs:
            self.run(f"git {'tag' if ref.startswith('v') else 'branch'} {ref}", cwd=self.vllm)

    def run(self, script: str, cwd: Path | None = None) -> str:
        """Run a script in the checkout; fails with what it printed when it fails."""
        for name, here in self.stands_for.items():
            script = script.replace(name, here)
        return terminal.output("bash", "-euo", "pipefail", "-c", script, cwd=cwd or self.checkout, env=self.env)
