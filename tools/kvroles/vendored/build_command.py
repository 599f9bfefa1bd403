"""``vendor.py``: ``wheel``, ``image``, ``oci``, which want the extra "vendor", and the commands of ``in_place_command``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kvroles.console import Parser, guarded
from kvroles.errors import UsageError
from kvroles.places import default_cache_dir
from kvroles.series import project
from kvroles.vendored import in_place_command
from kvroles.vendored.in_place_command import CODES, COMMANDS, common, tell

EXTRA = "python -m pip install -e '.[vendor]'"
ABOUT = "Vendored builds of vLLM with the deprecation in them: a wheel, an installed package, an image context, and their proof."
REST = f"install, uninstall and verify run on Python >= 3.11 alone; wheel, image and oci want libraries: `{EXTRA}`. {CODES}"
WHEEL = f"""The official wheel of a release, fetched and checked against the lock, or a wheel of your own (--wheel), comes out
as version R+kvroles.N with the connector patched. All other members keep their bytes, the same input gives the same file,
and a CycloneDX SBOM and an in-toto statement lie beside it. Needs: `{EXTRA}`"""
IMAGE = f"""A build context for a patched image: Dockerfile, docker-bake.hcl for amd64 and arm64, apply.pyz with the patches,
SBOM, in-toto statement, and Kubernetes examples with explicit roles. Needs: `{EXTRA}`"""

OCI = f"""The same image without a container engine: an OCI image layout of the base in (a folder, or an archive of one), one of
the patched image out, the base plus one layer. Every layer is read whole and held against its digest, every file of
vLLM against RECORD. No code of the image is run:
no Python was asked, nothing was constructed. Run 'verify' in the result for that. Needs: `{EXTRA}`"""


def parser(prog: str = "vendor.py") -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=prog, description=ABOUT, epilog=REST, allow_abbrev=False)
    commands = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _wheel(
        commands.add_parser(
            "wheel", help="the official wheel in, a patched wheel out", description=WHEEL, allow_abbrev=False
        )
    )
    in_place_command.add(commands)
    _image(
        commands.add_parser(
            "image", help="write the build context of a patched image", description=IMAGE, allow_abbrev=False
        )
    )
    _oci(
        commands.add_parser(
            "oci", help="an OCI image layout in, a patched one out", description=OCI, allow_abbrev=False
        )
    )
    return p


def _wheel(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--vllm-rev", metavar="R", required=True, help="a release (0.22.1, v0.22.1, latest), or --wheel's version"
    )
    p.add_argument("--wheel", metavar="FILE", type=Path, help="a wheel of it (default: the official one, fetched)")
    p.add_argument("--arch", metavar="ARCH", help="of the wheel to fetch: x86_64 or aarch64 (default: this machine's)")
    p.add_argument("--output", metavar="DIR", type=Path, default=Path("build/wheels"), help="default: build/wheels")
    p.add_argument("--build", metavar="N", type=int, default=1, help="the N of version R+kvroles.N (default: 1)")
    p.add_argument("--force", action="store_true", help="build even where the release warns by itself")
    p.add_argument("--sign-with", metavar="CMD", help="run CMD on the provenance statement ({} stands for its path)")
    p.add_argument(
        "--index", action="store_true", help="also write simple/ beside it: a package index of the wheels there"
    )
    p.add_argument("--offline", action="store_true", help="never touch the network: the wheel comes from the cache")
    p.add_argument("--index-url", metavar="URL", help="the package index (default: the one pip is set to use)")
    p.add_argument("--cache-dir", metavar="DIR", type=Path, help="where wheels are kept (default: the user's cache)")
    common(p)


def _image(p: argparse.ArgumentParser) -> None:
    p.add_argument("--vllm-rev", metavar="R", required=True, help="the release in the base image")
    p.add_argument("--base", metavar="IMAGE@sha256:DIGEST", required=True, help="the image to start from, by digest")
    p.add_argument("--allow-tag", action="store_true", help="take a base without a digest (not reproducible)")
    p.add_argument("--output", metavar="DIR", type=Path, help="default: build/image-R")
    p.add_argument("--python", metavar="EXE", default="python3", help="the interpreter in the image (default: python3)")
    p.add_argument(
        "--site-packages",
        metavar="DIR",
        help="the folder in the image that holds vllm/, where root's Python does not find it (default: where EXE finds it)",
    )
    p.add_argument("--sign-with", metavar="CMD", help="run CMD on the provenance statement ({} stands for its path)")
    p.add_argument(
        "--part",
        choices=("package", "runtime"),
        default="package",
        help="as of install and verify, which the build runs",
    )
    p.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the build fails for files that others changed in the base (default), or lists them",
    )
    p.add_argument(
        "--require-construction",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the build fails unless NixlConnector was constructed in every role (default), or says that it was not",
    )
    common(p)


def _oci(p: argparse.ArgumentParser) -> None:
    p.add_argument("--base", metavar="PATH", type=Path, required=True, help="the layout, a folder or a tar archive")
    p.add_argument("--ref", metavar="NAME", help="the name of the image in it, where it holds more than one")
    p.add_argument("--vllm-rev", metavar="R", required=True, help="the release in the base image")
    p.add_argument("--base-name", metavar="IMAGE", default="", help="where the base came from, for the label base.name")
    p.add_argument(
        "--platform", metavar="OS/ARCH", action="append", default=[], help="only this one, or these (default: all)"
    )
    p.add_argument("--output", metavar="DIR", type=Path, help="default: build/oci-R")
    p.add_argument(
        "--site-packages", metavar="DIR", help="the folder in the image that holds vllm/ (default: the only one)"
    )
    p.add_argument(
        "--part", choices=("package", "runtime"), default="package", help="as of install, which patches the same files"
    )
    p.add_argument(
        "--strict",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="refuse files that others changed in the base (default), or list them",
    )
    p.add_argument("--sign-with", metavar="CMD", help="run CMD on the provenance statement ({} stands for its path)")
    common(p)


def run(args: argparse.Namespace) -> int:
    """Carry out parsed arguments; returns the exit code, raises KvRolesError."""
    if args.command in COMMANDS:
        return in_place_command.run(args)
    return {"wheel": _build_wheel, "image": _build_image, "oci": _build_oci}[args.command](args)


@contextmanager
def _libraries(command: str) -> Iterator[None]:
    """Turn the lack of a library, while what builds something is loaded, into a UsageError."""
    try:
        yield
    except ModuleNotFoundError as e:
        raise UsageError(
            f"vendor.py {command} needs the library {str(e.name).partition('.')[0]!r}, which {sys.executable} lacks",
            fix=f"Run `{EXTRA}` in this checkout; install, uninstall and verify need no library",
        ) from None


def _build_wheel(args: argparse.Namespace) -> int:
    with _libraries(args.command):
        # lazy: it wants libraries that an image lacks, and a run builds one thing
        from kvroles.vendored.wheel import build, report

    wanted = build.Request(
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
        index=args.index,
    )
    return tell(args, report.wheel_json, report.wheel_text, build.run(wanted, *project.load()))


def _build_image(args: argparse.Namespace) -> int:
    with _libraries(args.command):
        # lazy: the same
        from kvroles.vendored.image import context

    wanted = context.Request(
        args.vllm_rev,
        args.base,
        args.allow_tag,
        args.output,
        args.python,
        args.sign_with,
        args.part,
        args.strict,
        args.require_construction,
        args.site_packages,
    )
    return tell(args, context.as_json, context.text, context.write(wanted, *project.load()))


def _build_oci(args: argparse.Namespace) -> int:
    with _libraries(args.command):
        # lazy: the same
        from kvroles.vendored.image import oci

    wanted = oci.Request(
        args.vllm_rev,
        args.base,
        args.ref,
        args.base_name,
        tuple(args.platform),
        args.output,
        args.site_packages,
        args.part,
        args.strict,
        args.sign_with,
        args.quiet or args.json,
    )
    return tell(args, oci.as_json, oci.text, oci.write(wanted, *project.load()))


def main(argv: Sequence[str] | None = None, prog: str = "vendor.py") -> int:
    """Run the command; one on an installed vLLM starts again without start-up code first. Returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    if sys.argv[len(sys.argv) - len(given) :] == given and given[:1] and given[0] in COMMANDS:
        in_place_command.without_startup_code(__name__, given, prog)
    return guarded(parser(prog), run, given)
