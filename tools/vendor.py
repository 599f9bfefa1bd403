#!/usr/bin/env python3
"""Vendored builds of vLLM with the deprecation in them: a wheel, an installed package, an image context, and their proof.

install, uninstall and verify run on Python >= 3.11 alone (apply.pyz carries them into images); wheel and image want the
libraries of the extra "vendor": python -m pip install -e '.[vendor]'. Exit codes: 0 done or nothing to do; 1 does not apply;
2 wrong usage; 3 a hash, RECORD, the receipt or the contract does not hold; 4 the source cannot be had.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kvroles.console import Parser, guarded, say, say_json
from kvroles.errors import Exit, UsageError
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.vendored.installed import change, distribution, layer, proof, report

IN_PLACE = ("install", "uninstall", "verify")
EXTRA = "python -m pip install -e '.[vendor]'"
# What each command says of itself, in --help of its own.
WHEEL = f"""The official wheel of a release, fetched and checked against the lock, or a wheel of your own (--wheel), comes out
as version R+kvroles.N with the connector patched. All other members keep their bytes, the same input gives the same file,
and a CycloneDX SBOM and an in-toto statement lie beside it. Needs: {EXTRA}"""
INSTALL = """Finds the vLLM that an interpreter imports, compares every file with RECORD, patches the connector, rewrites RECORD
and leaves a receipt and the originals in dist-info. A run that was killed is finished by the next."""
UNINSTALL = """Puts the stored originals and RECORD back, and takes the receipt away. A run that was killed is finished by the
next."""
VERIFY = """Nothing is written. Compares the installed bytes with receipt, RECORD and lock, checks the contract, and constructs
NixlConnector in each role where vLLM imports. Code 3 names the file that is not as it should be: use it as an image's last
step."""
IMAGE = f"""A build context for a patched image: Dockerfile, docker-bake.hcl for amd64 and arm64, apply.pyz with the patches,
SBOM, in-toto statement, and Kubernetes examples with explicit roles. Needs: {EXTRA}"""


def parser(*, in_place_only: bool = False) -> argparse.ArgumentParser:
    """The command line of ``vendor.py``, or the part of it that ``apply.pyz`` offers."""
    about, _, rest = (__doc__ or "").partition("\n\n")
    if in_place_only:
        about, rest = "Patch an installed vLLM, take that back, and prove it.", rest[rest.index("Exit codes") :]
    prog = "apply.pyz" if in_place_only else "vendor.py"
    p = Parser(prog=prog, description=about, epilog=rest, allow_abbrev=False)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, short: str, long: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=short, description=long, allow_abbrev=False)

    if not in_place_only:
        _wheel(command("wheel", "the official wheel in, a patched wheel out", WHEEL))
    install = command("install", "patch an installed vLLM where it lies", INSTALL)
    install.add_argument("--vllm-rev", metavar="R", help="refuse anything but this release")
    install.add_argument(
        "--layer", metavar="DIR", type=Path, help="also copy what is changed to DIR, at full paths (for COPY --from)"
    )
    uninstall = command("uninstall", "put the stored originals back", UNINSTALL)
    verify = command("verify", "prove an installed vLLM from its bytes", VERIFY)
    for one in (install, uninstall, verify):
        one.add_argument("--python", metavar="EXE", type=Path, help="the interpreter that imports it (default: this)")
        one.add_argument(
            "--site-packages",
            metavar="DIR",
            type=Path,
            help="the folder that holds vllm/ (default: where EXE finds it)",
        )
        _common(one)
    if not in_place_only:
        _image(command("image", "write the build context of a patched image", IMAGE))
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
    series, lock = project.load()
    if args.command in IN_PLACE:
        found = distribution.find(args.python, args.site_packages)
    if args.command == "install":
        changed = change.install(found, series, lock, args.vllm_rev)
        if args.layer:
            layer.write(changed, args.layer)
        return _say(args, report.change_json, report.change_text, changed)
    if args.command == "uninstall":
        return _say(args, report.change_json, report.change_text, change.uninstall(found))
    if args.command == "verify":
        return _say(args, report.proof_json, report.proof_text, proof.verify(found, series, lock))

    try:
        from kvroles.vendored.image import context as image
        from kvroles.vendored.wheel import build  # these want libraries that an image lacks
        from kvroles.vendored.wheel import report as wheel_report
    except ModuleNotFoundError as e:
        raise UsageError(
            f"vendor.py {args.command} needs the library {str(e.name).partition('.')[0]!r}, which {sys.executable} lacks",
            fix=f"Run '{EXTRA}' in this checkout; install, uninstall and verify need no library",
        ) from None

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
    outcome = build.run(
        build.Request(
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
    return _say(args, wheel_report.wheel_json, wheel_report.wheel_text, outcome)


def _say(args: argparse.Namespace, as_json: Callable[[Any], Any], text: Callable[[Any], str], result: object) -> int:
    if args.json:
        say_json(as_json(result))
    elif not args.quiet:
        say(text(result))
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(guarded(parser(), run))
