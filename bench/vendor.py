#!/usr/bin/env python3
"""Time ``vendor.py`` beside what one would use without it: wheel tools, ``sha256sum``, and ``buildah``.

``--of wheel``: ``vendor.py wheel`` on an official wheel of 400 MB against ``wheel unpack`` + the same patch + ``wheel
pack``. Both start from the wheel in the cache (page cache warm) and end with a wheel on disk whose connector has the
same bytes. A round takes about 80 s on a quiet core, nearly all of it the second way's. Needs the package ``wheel``
(in the extra ``dev``).

``--of installed``: reading every file of an installed official 0.22.1 against RECORD, beside ``sha256sum`` over the
same files; and, a figure of its own, comparing its bytecode with what its sources compile to.

``--of image``: ``vendor.py oci`` from an image layout with that vLLM in it to a patched one, beside ``buildah`` that
copies the same files into the same base and writes a layout. Needs buildah.

Ways take turns, round by round; medians count; no round is begun that would end after --minutes. Writes to
bench/results.json under "vendor", "installed" and "image". Goals, and exit codes: 0 a wheel at least 15 times faster
and under 200 MB, files read in at most 1.3 times the processor seconds of sha256sum, an image in less than buildah's;
3 not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from harness import CORES, ENV, ROOT, TOOLS, Time, ratio, seconds, timed, turns, write
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.sources import cache
from kvroles.vendored import part
from kvroles.vendored.wheel import build

FASTER, MEMORY_MB = 15.0, 200.0
HASHING = 1.3
INSTALLED = "0.22.1"
_CENSUS = """
import sys; sys.path.append(sys.argv[1])
from pathlib import Path
from kvroles.vendored.installed import census, distribution
from kvroles.vendored.record import Record
found = distribution.find(site=Path(sys.argv[2]))
read = census.take(found, Record.parse((found.site / found.record).read_bytes(), found.info, ""))
assert read.read == read.as_recorded and not read.odd, read.odd
"""
_BYTECODE = """
import sys; sys.path.append(sys.argv[1])
from pathlib import Path
from kvroles.vendored.installed import bytecode, distribution, interpreter, search
found = distribution.find(site=Path(sys.argv[2]))
pycs = [p.relative_to(found.site).as_posix() for p in (found.site / "vllm").rglob("*.pyc")]
where = search.of(interpreter.ask(Path(sys.executable), {}), search.Run())
checked = bytecode.check(where, found.site, pycs, [])
assert checked.same == len(pycs), checked
"""


class Ways:
    """The two ways to a patched wheel, from one wheel, in one work folder."""

    def __init__(self, release: str, work: Path) -> None:
        series, lock = project.load()
        self.official = build.pick(lock.releases[release], "x86_64")
        self.wheel, self.release, self.work = cache.archive_file(self.official, default_cache_dir()).path, release, work
        with zipfile.ZipFile(self.wheel) as z:
            names = set(z.namelist())
            whole = part.of(lock.releases[release], series)
            planned = part.plan(whole, lambda p: z.read(p) if p in names else None, str(self.wheel))
        (self.change,) = planned.changes
        (work / "after.py").write_bytes(self.change.after or b"")

    def vendor(self) -> Time:
        """One run of ``vendor.py wheel``."""
        shutil.rmtree(self.work / "ours", ignore_errors=True)
        command = [sys.executable, str(TOOLS / "vendor.py"), "wheel", "--vllm-rev", self.release, "--quiet"]
        return timed([*command, "--wheel", str(self.wheel), "--output", str(self.work / "ours")])

    def unpack_and_pack(self) -> Time:
        """One run of ``wheel unpack``, ``cp`` of the patched file, ``wheel pack``."""
        for folder in ("unpacked", "theirs"):
            shutil.rmtree(self.work / folder, ignore_errors=True)
        (self.work / "theirs").mkdir()
        tree = f"{self.work}/unpacked/vllm-{self.release}"
        return timed(
            [sys.executable, "-m", "wheel", "unpack", "--dest", str(self.work / "unpacked"), str(self.wheel)],
            ["cp", str(self.work / "after.py"), f"{tree}/{self.change.path}"],
            [sys.executable, "-m", "wheel", "pack", "--dest-dir", str(self.work / "theirs"), tree],
        )

    def connector(self, folder: str) -> bytes:
        """The connector in the wheel that a way left in ``folder``."""
        with zipfile.ZipFile(next((self.work / folder).glob("*.whl"))) as z:
            return z.read(self.change.path)


def measure(release: str, rounds: int, minutes: float) -> dict[str, object]:
    """The figures for ``release``."""
    ours: list[Time] = []
    theirs: list[Time] = []
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        ways = Ways(release, Path(name))
        started, longest = time.monotonic(), 0.0
        for number in range(rounds):
            if time.monotonic() - started + longest > 60 * minutes:
                break
            begun = time.monotonic()
            turns = [(ours, ways.vendor), (theirs, ways.unpack_and_pack)]
            for runs, way in turns if number % 2 == 0 else reversed(turns):
                runs.append(way())
            longest = max(longest, time.monotonic() - begun)
            print(f"round {number + 1}: {ours[-1]} against {theirs[-1]}", file=sys.stderr, flush=True)
        same = ways.connector("ours") == ways.connector("theirs")
    mine, other = middle(ours), middle(theirs)
    return {
        "wheel": ways.official.name,
        "size_mb": round(ways.official.size / 1e6, 1),
        "rounds": len(ours),
        "vendor_py": mine,
        "wheel_unpack_patch_pack": other,
        "times_faster_wall": round(other["wall_s"] / mine["wall_s"], 1),
        "times_faster_cpu": round(other["cpu_s"] / mine["cpu_s"], 1),
        "same_connector": same,
        "goals": {"times_faster_wall": FASTER, "peak_mb": MEMORY_MB},
        "command": f"python bench/vendor.py --rounds {rounds} --minutes {minutes:g}",
        "met": same and other["wall_s"] >= FASTER * mine["wall_s"] and mine["peak_mb"] < MEMORY_MB,
    }


def rounds_of(number: int, minutes: float, *ways: Callable[[], None]) -> None:
    """Call ``ways`` in turns, at most ``number`` times, beginning no round that would end after ``minutes``."""
    started, longest = time.monotonic(), 0.0
    for one in range(number):
        if one and time.monotonic() - started + longest > 60 * minutes:
            return
        begun = time.monotonic()
        turns(one, *ways)
        longest = max(longest, time.monotonic() - begun)


def unpacked(to: Path) -> tuple[str, Path]:
    """The official wheel of INSTALLED laid out in a new folder ``to`` as pip lays it out, bytecode included."""
    _, lock = project.load()
    official = build.pick(lock.releases[INSTALLED], "x86_64")
    with zipfile.ZipFile(cache.archive_file(official, default_cache_dir()).path) as z:
        z.extractall(to)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "-j", str(CORES), str(to / "vllm")], check=False)
    return official.name, to


def measure_installed(rounds: int, minutes: float) -> dict[str, object]:
    """Reading, and comparing bytecode."""
    reads: list[Time] = []
    sums: list[Time] = []
    compiled: list[Time] = []
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        wheel, site = unpacked(Path(name) / "site-packages")
        files = [p for p in sorted(site.rglob("*")) if p.is_file() and p.suffix != ".pyc"]
        pycs = sum(1 for _ in site.rglob("*.pyc"))
        listed = Path(name) / "list"
        listed.write_bytes(b"".join(bytes(p) + b"\0" for p in files))
        python = [sys.executable, "-I", "-S", "-c"]

        def read() -> None:
            reads.append(timed([*python, _CENSUS, TOOLS, site]))

        def sha256sum() -> None:
            sums.append(timed(["xargs", "-0", "-a", listed, "sha256sum"]))

        def bytecode() -> None:
            compiled.append(timed([*python, _BYTECODE, TOOLS, site]))

        rounds_of(rounds, minutes, read, sha256sum, bytecode)
        size = sum(p.stat().st_size for p in files)
    times = ratio(reads, sums)
    return {
        "wheel": wheel,
        "rounds": len(reads),
        "files": len(files),
        "size_mb": round(size / 1e6, 1),
        "read_against_record": middle(reads),
        "sha256sum": middle(sums),
        "ratio": times,
        "bytecode": {"files": pycs, **middle(compiled)},
        "goals": {"ratio_cpu": HASHING},
        "command": f"python bench/vendor.py --of installed --rounds {rounds}",
        "met": times["cpu"] <= HASHING,
    }


def measure_image(rounds: int, minutes: float) -> dict[str, object]:
    """``oci`` and buildah, from one layout each to one."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support import oci

    ours: list[Time] = []
    theirs: list[Time] = []
    with tempfile.TemporaryDirectory(prefix="kv-roles-bench-") as name:
        work = Path(name)
        wheel, site = unpacked(work / "site-packages")
        at = "usr/local/lib/python3.12/dist-packages"
        made = oci.Layout(work / "base")
        base = made.name(made.image([oci.tar(oci.folder(site, at))], "amd64", {"Env": ["PATH=/usr/bin"]}))
        shutil.rmtree(site)
        command = [
            sys.executable,
            str(TOOLS / "vendor.py"),
            "oci",
            "--vllm-rev",
            INSTALLED,
            "--quiet",
            "--base",
            str(base),
        ]

        def vendor() -> None:
            shutil.rmtree(work / "ours", ignore_errors=True)
            ours.append(timed([*command, "--output", str(work / "ours")]))

        vendor()
        ours.clear()
        layer = oci.Read.of(work / "ours").layers()[-1]
        oci.unpacked([layer], work / "layer", whiteouts=False)
        env = _engine(work)
        buildah = ["buildah"]

        def copy() -> None:
            shutil.rmtree(work / "theirs", ignore_errors=True)
            theirs.append(
                timed(
                    [*buildah, "from", "--quiet", "--name", "bench", f"oci:{base}:base:1"],
                    [*buildah, "copy", "--quiet", "bench", work / "layer", "/"],
                    [*buildah, "commit", "--quiet", "--rm", "bench", f"oci:{work}/theirs:x"],
                    env=env,
                )
            )
            subprocess.run(["buildah", "rmi", "--all", "--force"], env=env, capture_output=True, check=False)

        rounds_of(rounds, minutes, vendor, copy)
        sizes = {
            way: json.loads((work / folder / "index.json").read_text())["manifests"][0]
            for way, folder in (("vendor", "ours"), ("buildah", "theirs"))
        }
        layers = {}
        for way, folder in (("vendor_py", "ours"), ("buildah", "theirs")):
            digest = sizes[way.partition("_")[0]]["digest"].removeprefix("sha256:")
            manifest = json.loads((work / folder / "blobs/sha256" / digest).read_text())
            layers[way] = round(manifest["layers"][-1]["size"] / 1e3, 1)
        driver = env["STORAGE_DRIVER"]
        size = sum(p.stat().st_size for p in (base / "blobs/sha256").iterdir())
    times = ratio(ours, theirs)
    return {
        "wheel": wheel,
        "rounds": len(ours),
        "base_mb": round(size / 1e6, 1),
        "vendor_py": middle(ours),
        "buildah": middle(theirs),
        "layer_kb": layers,
        "ratio": times,
        "note": f"buildah stores with the driver {driver}; pulling the layout into its storage is part of its time",
        "goals": {"ratio_cpu": 1.0},
        "command": f"python bench/vendor.py --of image --rounds {rounds}",
        "met": times["cpu"] <= 1.0,
    }


def _engine(work: Path) -> dict[str, str]:
    """buildah's environment: storage of the bench's own, overlay where the kernel lets it."""
    (work / "policy").mkdir()
    (work / "storage.conf").write_text("")
    env = {**ENV, "BUILDAH_ISOLATION": "chroot", "CONTAINERS_STORAGE_CONF": str(work / "storage.conf")}
    for driver in ("overlay", "vfs"):
        text = f'[storage]\ndriver = "{driver}"\ngraphroot = "{work}/{driver}"\nrunroot = "{work}/{driver}-run"\n'
        (work / "storage.conf").write_text(text)
        env["STORAGE_DRIVER"] = driver
        if subprocess.run(["buildah", "info"], env=env, capture_output=True, check=False).returncode == 0:
            return env
    raise SystemExit("buildah starts with no storage driver here")


def middle(runs: list[Time]) -> dict[str, float]:
    """The medians of times, and the highest peak."""
    return {**seconds(runs), "peak_mb": round(max(t.peak_mb for t in runs), 1)}


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("--of", choices=("wheel", "installed", "image"), default="wheel", help="default: wheel")
    p.add_argument("--release", default="0.10.1", help="of the wheel; default: 0.10.1, whose wheel has 414 MB")
    p.add_argument("--rounds", type=int, default=3, help="at most so many (default: 3)")
    p.add_argument("--minutes", type=float, default=5.0, help="and begin none that would end later (default: 5)")
    args = p.parse_args()
    if args.rounds < 1:
        p.error("--rounds: 1 or more")
    if args.of == "wheel":
        key, figures = "vendor", measure(args.release, args.rounds, args.minutes)
    elif args.of == "installed":
        key, figures = "installed", measure_installed(args.rounds, args.minutes)
    else:
        key, figures = "image", measure_image(args.rounds, args.minutes)
    write(key, figures)
    print(json.dumps(figures, indent=1))
    return 0 if figures["met"] else 3


if __name__ == "__main__":
    sys.exit(main())
