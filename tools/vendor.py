#!/usr/bin/env python3
"""Vendored builds of vLLM with the deprecation in them: a wheel, an installed package, an image context, and their proof.

install, uninstall and verify run on Python >= 3.11 alone (apply.pyz carries them into images); wheel and image want
'pip install vllm-kv-roles[vendor]'. Exit codes: 0 done or nothing to do; 1 does not apply; 2 wrong usage; 3 a hash, RECORD,
the receipt or the contract does not hold; 4 the source cannot be had.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kvroles import engine
from kvroles.errors import Exit
from kvroles.main import guarded
from kvroles.places import default_cache_dir
from kvroles.vendor import distribution, inplace, layer, proof, say

IN_PLACE = ("install", "uninstall", "verify")


def parser(*, in_place_only: bool = False) -> argparse.ArgumentParser:
    """The command line of ``vendor.py``, or the part of it that ``apply.pyz`` offers."""
    p = argparse.ArgumentParser(prog="vendor.py", description=(__doc__ or "").split("\n\n")[0], allow_abbrev=False)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    if not in_place_only:
        _wheel(commands.add_parser("wheel", help="the official wheel in, a patched wheel out", allow_abbrev=False))
    install = commands.add_parser("install", help="patch an installed vLLM where it lies", allow_abbrev=False)
    install.add_argument("--vllm-rev", metavar="R", help="refuse anything but this release")
    install.add_argument(
        "--layer", metavar="DIR", type=Path, help="also copy what is changed to DIR, at full paths (for COPY --from)"
    )
    uninstall = commands.add_parser("uninstall", help="put the stored originals back", allow_abbrev=False)
    verify = commands.add_parser("verify", help="prove an installed vLLM from its bytes", allow_abbrev=False)
    for command in (install, uninstall, verify):
        where = command.add_mutually_exclusive_group()
        where.add_argument("--python", metavar="EXE", type=Path, help="the interpreter that imports it (default: this)")
        where.add_argument("--site-packages", metavar="DIR", type=Path, help="the folder that holds vllm/")
        _common(command)
    if not in_place_only:
        _image(commands.add_parser("image", help="write the build context of a patched image", allow_abbrev=False))
    return p


def _common(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", action="store_true", help="print the result as JSON")
    p.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")


def _wheel(p: argparse.ArgumentParser) -> None:
    p.add_argument("--vllm-rev", metavar="R", required=True, help="a release (0.22.1, v0.22.1, latest)")
    p.add_argument("--wheel", metavar="FILE", type=Path, help="a wheel of it (default: the official one, fetched)")
    p.add_argument("--arch", metavar="ARCH", help="of the wheel to fetch: x86_64 or aarch64 (default: this machine's)")
    p.add_argument("--output", metavar="DIR", type=Path, default=Path("build/wheels"), help="default: build/wheels")
    p.add_argument("--build", metavar="N", type=int, default=1, help="the N of version R+kvroles.N (default: 1)")
    p.add_argument("--force", action="store_true", help="build even where the release warns by itself")
    p.add_argument("--sign-with", metavar="CMD", help="run CMD on the provenance statement ({} stands for its path)")
    p.add_argument("--offline", action="store_true", help="never touch the network: the wheel comes from the cache")
    p.add_argument("--index-url", metavar="URL", help="the package index (default: the one pip is set to use)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where wheels are kept (default: the user's cache)")
    _common(p)


def _image(p: argparse.ArgumentParser) -> None:
    p.add_argument("--vllm-rev", metavar="R", required=True, help="the release in the base image")
    p.add_argument("--base", metavar="IMAGE@sha256:DIGEST", required=True, help="the image to start from, by digest")
    p.add_argument("--allow-tag", action="store_true", help="take a base without a digest (not reproducible)")
    p.add_argument("--output", metavar="DIR", type=Path, help="default: build/image-R")
    p.add_argument("--python", metavar="EXE", default="python3", help="the interpreter in the image (default: python3)")
    p.add_argument("--sign-with", metavar="CMD", help="run CMD on the provenance statement ({} stands for its path)")
    _common(p)


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    series, lock = engine.load()
    if args.command in IN_PLACE:
        found = distribution.find(args.python, args.site_packages)
    if args.command == "install":
        changed = inplace.install(found, series, lock, args.vllm_rev)
        if args.layer:
            layer.write(changed, args.layer)
        return _say(args, say.change_json, say.change_text, changed)
    if args.command == "uninstall":
        return _say(args, say.change_json, say.change_text, inplace.uninstall(found))
    if args.command == "verify":
        return _say(args, say.proof_json, say.proof_text, proof.verify(found, series, lock))

    from kvroles.vendor import building, image, say_build  # these want libraries that an image lacks

    if args.command == "image":
        context = image.write(
            image.Request(
                args.vllm_rev,
                args.base,
                args.allow_tag,
                args.output,
                args.python,
                args.sign_with,
            ),
            series,
            lock,
        )
        return _say(args, image.as_json, image.text, context)
    outcome = building.run(
        building.Request(
            revision=args.vllm_rev,
            wheel=args.wheel,
            output=args.output,
            arch=args.arch,
            number=args.build,
            force=args.force,
            sign_with=args.sign_with,
            offline=args.offline,
            quiet=args.quiet,
            index_url=args.index_url,
            cache_dir=args.cache_dir or default_cache_dir(),
        ),
        series,
        lock,
    )
    return _say(args, say_build.wheel_json, say_build.wheel_text, outcome)


def _say(args: argparse.Namespace, as_json: Callable[[Any], Any], text: Callable[[Any], str], result: object) -> int:
    if args.json:
        print(json.dumps(as_json(result), indent=1))
    elif not args.quiet:
        print(text(result), end="")
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(guarded(parser(), run))
