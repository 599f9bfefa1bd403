"""A clone of vLLM's repository for a test: git by nobody's settings, what a right tree holds, and settings that run commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from kvroles.sources.objects import blob_id

from support.driver import Ran
from support.tiny import SCRIPT, Tiny

Making = Callable[..., Ran]


def in_(folder: Path, *args: str, data: bytes | None = None) -> str:
    """``git ARGS`` in ``folder``, by nobody's settings."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always", "-c", "gc.auto=0")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *args], input=data, env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def alike() -> tuple[bytes, bytes]:
    """Two texts whose ids in git begin with the same four digits."""
    seen: dict[str, bytes] = {}
    for number in range(10_000):
        text = b"%d\n" % number
        if (other := seen.setdefault(blob_id(text)[:4], text)) != text:
            return other, text
    raise AssertionError


def right(tree: Path, tiny: Tiny) -> None:
    """``tree`` is what the series makes of the small 0.22.1."""
    for path, data in tiny.applied().items():
        assert (tree / path).read_bytes() == data, path
    assert (tree / SCRIPT).stat().st_mode & 0o777 == 0o755


def nothing_left(tmp_path: Path) -> None:
    assert not (tmp_path / "new").exists()
    assert not [p for p in tmp_path.iterdir() if "kv-roles" in p.name]


def set_everything(folder: Path, canary: Path) -> None:
    """Every setting of git that runs something, or that changes what is read, set in the clone ``folder``."""
    touch = f"touch '{canary}'; cat"
    run = folder.parent / "run.sh"
    run.write_text(f"#!/bin/sh\ntouch '{canary}'\ncat\n")
    run.chmod(0o755)
    settings = {
        "core.sshCommand": touch,
        "core.fsmonitor": str(run),
        "core.hooksPath": str(folder.parent / "hooks"),
        "core.pager": touch,
        "core.editor": touch,
        "core.askPass": str(run),
        "core.gitProxy": str(run),
        "core.alternateRefsCommand": touch,
        "core.attributesFile": str(folder.parent / "attributes"),
        "core.autocrlf": "true",
        "core.eol": "crlf",
        "core.worktree": "/",
        "core.useReplaceRefs": "true",
        "sequence.editor": touch,
        "credential.helper": f"!{touch}",
        "diff.external": str(run),
        "diff.x.textconv": touch,
        "diff.x.command": str(run),
        "filter.x.smudge": touch,
        "filter.x.clean": touch,
        "filter.x.process": touch,
        "filter.x.required": "true",
        "merge.x.driver": touch,
        "gpg.program": str(run),
        "gpg.ssh.program": str(run),
        "alias.cat-file": f"!{touch}",
        "alias.fetch": f"!{touch}",
        "alias.config": f"!{touch}",
        "pager.cat-file": touch,
        "protocol.ext.allow": "always",
        "uploadpack.packObjectsHook": touch,
        "remote.origin.url": f"ext::{run}",
        "remote.origin.vcs": "ext",
        "remote.origin.promisor": "true",
        "remote.origin.uploadpack": touch,
        "remote.origin.proxy": "http://127.0.0.1:1",
        "extensions.partialClone": "origin",
        "url.ext::sh -c x.insteadOf": "https://",
        "include.path": str(folder.parent / "more"),
        "includeIf.gitdir:/.path": str(folder.parent / "more"),
        "interactive.diffFilter": touch,
        "trailer.x.command": touch,
        "init.templateDir": str(folder.parent / "hooks"),
        "man.viewer": "x",
        "web.browser": "x",
        "log.showSignature": "true",
    }
    (folder.parent / "more").write_text(f"[core]\n\tsshCommand = {touch}\n\tfsmonitor = {run}\n")
    (folder.parent / "attributes").write_text("* filter=x diff=x merge=x text eol=crlf ident\n")
    hooks = folder.parent / "hooks"
    for place in (hooks, folder / ".git/hooks"):
        place.mkdir(exist_ok=True)
        for name in (
            "post-checkout",
            "post-index-change",
            "reference-transaction",
            "pre-auto-gc",
            "fsmonitor-watchman",
        ):
            shutil.copy(run, place / name)
    (folder / ".git/info/attributes").write_text("* filter=x diff=x merge=x text eol=crlf ident export-ignore\n")
    with open(folder / ".git/config", "a") as config:
        for key, value in settings.items():
            section, _, name = key.rpartition(".")
            kind, _, sub = section.partition(".")
            quoted = value.replace("\\", "\\\\").replace('"', '\\"')
            inner = f' "{sub}"' if sub else ""
            config.write(f'[{kind}{inner}]\n\t{name} = "{quoted}"\n')


def shallow(repository: Path, to: Path) -> Path:
    in_(repository, "commit", "-q", "--allow-empty", "-m", "y")
    in_(repository, "tag", "-f", "v0.22.1")
    in_(repository, "clone", "-q", "--depth=1", f"file://{repository}", str(to))
    return to
