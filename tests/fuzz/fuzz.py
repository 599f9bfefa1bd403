#!/usr/bin/env python3
"""Fuzz the parsers by coverage, with atheris: ``python tests/fuzz/fuzz.py [TARGET ...] --minutes 30 --write``.

A finding (an exception other than the project's own, or an input that takes more than 20 s or 2 GB) does not end a run: it is
kept under build/fuzz/TARGET/findings with its input, once per place in the code; once mended, the input goes to the part
"mended" of tests/fuzz/inputs/TARGET.txt. ``--write`` adds the run's minutes and executions to those on record in
bench/results.json under "fuzz", puts its other figures there, and the smallest inputs that together reach every line that was
reached into the part "reach". The tests run both parts. Exit codes: 0 nothing found; 2 wrong usage, or no atheris here
(``pip install -e '.[fuzz]'``); 3 something found.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSTRUMENTED = ["kvroles", "html.parser", "_markupbase", "zipfile"]
KEPT, KEPT_BYTES = 60, 4096  # of a target's inputs that reach lines


def _one(name: str, room: Path, flags: list[str]) -> None:
    """The process that fuzzes; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from targets import TARGETS

    check, count, seen = TARGETS[name].check, 0, set()

    def one_input(data: bytes) -> None:
        nonlocal count
        count += 1
        if count % 64 == 0:
            (room / "count").write_text(str(count))
        try:
            check(data)
        except Exception as e:
            place = _place(e)
            if place not in seen:
                seen.add(place)
                _keep(room, data, place, "".join(traceback.format_exception(e)))

    atheris.Setup([sys.argv[0], *flags], one_input)
    atheris.Fuzz()


def _place(e: Exception) -> str:
    """Where an exception came from: its type and the last line of ours."""
    frames = [f for f in traceback.extract_tb(e.__traceback__) if str(ROOT) in f.filename and "/lib/" not in f.filename]
    last = frames[-1]
    return f"{type(e).__name__} in {Path(last.filename).relative_to(ROOT)}: {last.line}"


def _keep(room: Path, data: bytes, place: str, trace: str) -> None:
    folder = room / "findings" / hashlib.sha256(place.encode()).hexdigest()[:12]
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "input").write_bytes(data)
        (folder / "trace").write_text(trace)
        (folder / "place").write_text(place)


def fuzz(name: str, minutes: float) -> dict[str, Any]:
    """Fuzz one target for ``minutes``; returns its figures."""
    from support import fuzz_inputs as inputs
    from targets import TARGETS

    target = TARGETS[name]
    room = ROOT / "build" / "fuzz" / name
    shutil.rmtree(room / "findings", ignore_errors=True)
    for folder in ("seeds", "found", "findings", "artifacts"):
        (room / folder).mkdir(parents=True, exist_ok=True)
    for data in [*target.seeds(), *inputs.kept(name)]:
        (room / "seeds" / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    (room / "words").write_text("".join('"' + "".join(f"\\x{b:02x}" for b in w) + '"\n' for w in target.words))
    started, executions = time.monotonic(), 0
    while (left := minutes * 60 - (time.monotonic() - started)) > 5:
        flags = [f"-max_total_time={int(left)}", f"-dict={room / 'words'}", "-timeout=20", "-report_slow_units=20", "-rss_limit_mb=2000", "-max_len=6000",
                 f"-artifact_prefix={room / 'artifacts'}/", str(room / "found"), str(room / "seeds")]  # fmt: skip
        (room / "count").write_text("0")
        with (room / "log").open("ab") as log:
            done = subprocess.run(
                [sys.executable, __file__, "--one", name, *flags], stdout=log, stderr=log, check=False
            )
        tried = int((room / "count").read_text() or 0)
        if done.returncode and not tried and not list((room / "artifacts").iterdir()):
            raise SystemExit(f"fuzz.py: {name} did not start; {room / 'log'} says why")
        executions += tried
        for artifact in (room / "artifacts").iterdir():  # a hang, a crash of the interpreter, too much memory
            _keep(room, artifact.read_bytes(), artifact.name.partition("-")[0], "see log")
            artifact.unlink()
    found = sorted((f / "place").read_text() for f in (room / "findings").iterdir())
    mended = len(inputs.kept(name).mended)
    minutes = round((time.monotonic() - started) / 60, 1)
    return {"minutes": minutes, "executions": executions, "open_findings": found, "mended_findings": mended}


def keep(name: str) -> int:
    """Keep of what was found the smallest inputs that together reach every line of ours that is reached; returns how many."""
    from support import fuzz_inputs as inputs
    from targets import TARGETS

    check = TARGETS[name].check
    old = inputs.kept(name)
    found = (ROOT / "build" / "fuzz" / name / "found").iterdir()
    tried = sorted({*(p.read_bytes() for p in found), *old.reach}, key=lambda d: (len(d), d))
    lines: set[tuple[str, int]] = set()
    chosen: list[bytes] = []
    for seed in [*TARGETS[name].seeds(), *old.mended]:
        lines |= _lines(check, seed)
    for data in tried:
        if len(data) <= KEPT_BYTES and len(chosen) < KEPT and (new := _lines(check, data) - lines):
            lines |= new
            chosen.append(data)
    inputs.keep(name, inputs.Kept(old.mended, tuple(chosen)))
    return len(chosen)


def _lines(check: Any, data: bytes) -> set[tuple[str, int]]:
    lines: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        file = frame.f_code.co_filename
        if "kvroles" not in file:
            return None
        lines.add((file, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        check(data)
    except Exception:  # its test is another
        return set()
    finally:
        sys.settrace(None)
    return lines


def main() -> int:
    sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests"), str(ROOT / "bench"), str(HERE)]
    if sys.argv[1:2] == ["--one"]:
        _one(sys.argv[2], ROOT / "build" / "fuzz" / sys.argv[2], sys.argv[3:])
    from targets import TARGETS

    p = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    p.add_argument("target", nargs="*", choices=[*TARGETS, []], help="default: all")
    p.add_argument("--minutes", type=float, default=30.0, help="for each (default: %(default)s)")
    p.add_argument("--write", action="store_true", help="write figures and corpus into the repository")
    args = p.parse_args()
    if importlib.util.find_spec("atheris") is None:
        p.error("atheris is not installed; run: pip install -e '.[fuzz]'")
    worst = 0
    for name in args.target or TARGETS:
        figures = fuzz(name, args.minutes)
        if args.write:
            import harness

            figures["kept_inputs"] = keep(name)
            known = harness.kept("fuzz").get(name, {"minutes": 0, "executions": 0})
            told = {**figures, "open_findings": len(figures["open_findings"]),
                    "minutes": round(known["minutes"] + figures["minutes"], 1),
                    "executions": known["executions"] + figures["executions"]}  # fmt: skip
            harness.write("fuzz", {name: told}, merge=True)
        print(name, json.dumps(figures, indent=1), flush=True)
        worst = max(worst, 3 if figures["open_findings"] else 0)
    return worst


if __name__ == "__main__":
    sys.exit(main())
