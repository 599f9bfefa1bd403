"""What Python itself says that it imports, run as it will be, with start-up code and hooks. It can only lower the verdict.

No module of vLLM is imported for it: each finder on ``sys.meta_path`` is asked for each module in turn, as ``import`` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kvroles.errors import DoesNotApply, Unproven
from kvroles.said import shell
from kvroles.vendored import again
from kvroles.vendored.installed.search import Run, Search

_LIMIT_S = 120.0

_SCRIPT = r"""
import sys
searched = list(sys.path)
loaded = {n: str(getattr(m, "__file__", None) or "") for n, m in list(sys.modules.items()) if n != "__main__"}
import json, types
with open(sys.argv[2]) as f:
    names = json.load(f)
specs = {}
def locate(name):
    if name not in specs:
        above, _, _ = name.rpartition(".")
        parent = locate(above) if above else None
        path = parent.submodule_search_locations if parent is not None else None
        specs[name] = None
        if not above or path is not None:
            asks = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
            spec = next((s for ask in asks if ask and (s := ask(name, path, None)) is not None), None)
            specs[name] = spec
            if spec is not None and spec.submodule_search_locations is not None:  # a namespace package asks for its parent
                sys.modules[name] = types.ModuleType(name)
                sys.modules[name].__path__ = list(spec.submodule_search_locations)
    return specs[name]
found = {}
for name in names:
    spec = locate(name)
    found[name] = None if spec is None or spec.origin is None else str(spec.origin)
with open(sys.argv[1], "w") as f:
    json.dump({"found": found, "loaded": loaded, "path": searched}, f)
"""


@dataclass(frozen=True)
class Answer:
    """``found`` is module -> the file Python would load it from, or None; ``loaded`` is module -> file, or "" where it has
    none, of all that was there before the first line of a program ran; ``path`` is what Python then searches."""

    found: dict[str, str | None]
    loaded: dict[str, str]
    path: tuple[str, ...]


def environment(run: Run, site: Path | None) -> dict[str, str]:
    """The environment of ``run``; ``site`` goes first on PYTHONPATH where the search would not reach it."""
    env = dict(run.environ)
    if site is not None:
        path = env.get("PYTHONPATH", "")
        env["PYTHONPATH"] = f"{site}{os.pathsep}{path}" if path else str(site)
    return env


def command(search: Search, script: str, *argv: str, site: Path | None) -> list[str]:
    """The command that runs ``script`` as ``search.run`` says."""
    isolated = ["-I"] if search.run.isolated else []
    if isolated and site is not None:  # -I reads no PYTHONPATH
        script = f"import sys; sys.path.insert(0, {str(site)!r})\n{script}"
    return [*search.run.through, str(search.interpreter.python), *isolated, "-B", "-c", script, *argv]


def passing_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for question and answer, gone at the end. Raises DoesNotApply where no place can be written."""
    for place in (None, "/dev/shm"):  # a root that is read-only still has the latter
        with contextlib.suppress(OSError):
            return tempfile.TemporaryDirectory(prefix="kv-roles-", dir=place)
    raise DoesNotApply(
        "The environment cannot be asked: there is no folder that this user may write its question and answer to",
        expected="TMPDIR, /tmp, /var/tmp, /usr/tmp, /dev/shm or the working directory, writable",
        fix="Give it one, such as a container's `--tmpfs /tmp`",
    )


def ask(search: Search, names: Collection[str], site: Path | None) -> Answer:
    """Where ``search`` really finds the modules ``names`` (parents before children).

    Raises Unproven when it gives no answer: an interpreter that cannot start runs no vLLM either.
    """
    if search.waits_for is not None:
        raise Unproven(
            f"{search.interpreter.python} cannot be started: at each start it reads {search.waits_for}, which does not end",
            expected="a file",
            found="a pipe or a device",
            fix=f"Remove it: `{shell('rm', '--', search.waits_for)}`",
        )
    with passing_folder() as work:
        answer, question = os.path.join(work, "answer.json"), os.path.join(work, "question.json")
        os.chmod(work, 0o755)
        with open(question, "w", encoding="utf-8") as f:
            json.dump(list(names), f)
        argv = command(search, _SCRIPT, answer, question, site=site)
        said = ""
        try:
            done = subprocess.run(
                argv, cwd=search.run.folder, env=environment(search.run, site), input=b"",
                capture_output=True, timeout=_LIMIT_S, check=False,
            )  # fmt: skip
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            said = next((line for line in lines if line.startswith("Fatal Python error")), lines[-1] if lines else "")
            with open(answer, encoding="utf-8") as f:
                told = json.load(f)
            return Answer(dict(told["found"]), dict(told["loaded"]), tuple(map(str, told["path"])))
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as e:
            raise Unproven(
                f"{search.interpreter.python}, run as vLLM will be, gave no answer about what it imports",
                found=said or type(e).__name__,
                fix="Mend what keeps it from starting, or ask it without its environment: "
                f"`{again.command('verify', *search.run.words, '--isolated')}`",
            ) from None
