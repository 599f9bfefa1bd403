"""``image``: a build context that turns an official image into a patched one, without a network and without a compiler."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from kvroles.apply.state import State, TopicStatus
from kvroles.digest import sha256
from kvroles.errors import UsageError, os_error
from kvroles.said import said, shell
from kvroles.series.lock import Lock
from kvroles.series.release import resolve
from kvroles.series.topics import Series
from kvroles.tree import handles
from kvroles.tree.stage import discard, exchange
from kvroles.tree.writer import one_writer
from kvroles.vendored import bill, part
from kvroles.vendored.image import labels, pyz
from kvroles.vendored.installed.proof import BYTES_PROVEN, PATCH_PROVEN, VERIFIED
from kvroles.vendored.installed.report import SCHEMA
from kvroles.vendored.provenance import files as provenance
from kvroles.vendored.provenance import statement

# The reference grammar of the OCI distribution specification, cut to what a Dockerfile's FROM takes.
_NAME = r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:[._-]|__)[a-z0-9]+|/[a-z0-9]+)*"
_BASE = re.compile(rf"(?P<name>{_NAME})(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?")
_PYTHON = re.compile(r"[A-Za-z0-9_./+-]+")
_FILES = {
    "Dockerfile": "Dockerfile",
    "docker-bake.hcl": "docker-bake.hcl",
    ".dockerignore": "dockerignore",
    "README.md": "README.md",
    "kubernetes/prefill.yaml": "prefill.yaml",
    "kubernetes/decode.yaml": "decode.yaml",
    "kubernetes/leaderworkerset.yaml": "leaderworkerset.yaml",
}
_SIGNED = "context.intoto.json"  # and what a signing command puts beside it: context.intoto.json.sig, ...
_DATE = datetime(1980, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Request:
    """What the command line asked for. ``python`` is the interpreter inside the image, ``site_packages`` a folder there."""

    revision: str
    base: str
    allow_tag: bool
    output: Path | None
    python: str
    sign_with: str | None
    part: str = "package"
    strict: bool = True
    require_construction: bool = True
    site_packages: str | None = None


@dataclass(frozen=True)
class Context:
    """A written context: path in it -> SHA-256."""

    path: Path
    release: str
    base: str
    native: bool
    files: dict[str, str]


def write(request: Request, series: Series, lock: Lock) -> Context:
    """Write the context; a folder that holds nothing but an earlier context is replaced whole.

    Raises UsageError (no digest, not an image, a folder with other things in it) and DoesNotApply when the disk refuses.
    """
    release = resolve(request.revision, lock.releases)
    base = _checked(request.base, request.allow_tag)
    if not _PYTHON.fullmatch(request.python):
        raise UsageError(
            f"--python {request.python!r} is not the path of an interpreter",
            fix="Give the image's own, such as `--python python3`",
        )
    if request.site_packages is not None and not (
        request.site_packages.startswith("/") and request.site_packages.isprintable()
    ):
        raise UsageError(
            f"--site-packages {request.site_packages!r} is no folder of an image",
            expected="an absolute path",
            fix="Give the folder in the image that holds vllm/, from / on",
        )
    whole = part.of(lock.releases[release], series)
    mails = {
        f"{name}/{entry.variant}.patch": sha256(series.topic(name).raw(entry.variant))
        for name, entry in whole.row.topics.items()
        if entry.variant
    }
    program = pyz.build()
    values = _values(request, release, base, mails, program)
    files = {"apply.pyz": program} | {name: _filled(template, values) for name, template in _FILES.items()}
    topics = tuple(TopicStatus(n, e.variant, State.PRISTINE, ()) for n, e in whole.row.topics.items())
    files["apply.pyz.cdx.json"] = bill.payload("apply.pyz", program, whole, topics, _DATE.isoformat())
    files[_SIGNED] = statement.for_image(files, whole.row, base, mails)
    output = request.output or Path("build") / f"image-{release}"
    _put(output, files, request.sign_with)
    return Context(output, release, base, not mails, {name: sha256(data) for name, data in sorted(files.items())})


def _checked(base: str, allow_tag: bool) -> str:
    m = _BASE.fullmatch(base)
    if m is None:
        raise UsageError(
            f"--base {base!r} is not an image",
            expected="NAME@sha256:DIGEST, such as vllm/vllm-openai@sha256:...",
            fix="Ask for it with `docker buildx imagetools inspect vllm/vllm-openai:v0.22.1`",
        )
    if m["digest"] is None and not allow_tag:
        raise UsageError(
            f"--base {base} has no digest, so the same build may start from another image tomorrow",
            expected=f"{m['name']}@sha256:DIGEST",
            fix=f"Ask for it with `docker buildx imagetools inspect {base}`, or take the tag knowingly with --allow-tag",
        )
    if m["digest"] is None and m["tag"] is None:
        raise UsageError(
            f"--base {base} has neither tag nor digest", fix=f"Name one: `--base {base}:v0.22.1 --allow-tag`"
        )
    return base


def _values(request: Request, release: str, base: str, mails: dict[str, str], program: bytes) -> dict[str, str]:
    _, _, digest = base.partition("@")
    native = not mails
    part_ = ["--part", request.part] if request.part != "package" else []
    # The proof is not told where vLLM lies: it is of the one that Python imports, run as it will be.
    place = ["--site-packages", request.site_packages] if request.site_packages is not None else []
    verify = [*part_, *(["--strict"] if request.strict else [])]
    verify += ["--require-construction"] if request.require_construction else []
    proof = BYTES_PROVEN if not request.require_construction else VERIFIED if request.strict else PATCH_PROVEN
    if request.part == "runtime" and proof == VERIFIED:
        proof = PATCH_PROVEN  # nothing need vouch for the files beside the patched one
    built = "NixlConnector was constructed in every role, or the build failed."
    facts = labels.Facts(
        release,
        native,
        qualified(base),
        digest or "not pinned",
        tuple(sorted(mails)),
        proof,
        "constructed in every role" if request.require_construction else "not required",
    )
    told = {**labels.of(facts), f"{labels.OURS}.payload.sha256": sha256(program)}
    return {
        "release": release,
        "base": base,
        "python": request.python,
        "payload": sha256(program),
        "tag": f"vllm-kv-roles:{release}",
        "archive": f"vllm-kv-roles-{release}.oci.tar",
        "what": facts.what,
        "state": facts.state,
        "proof": proof,
        "construction": facts.construction,
        "proof_comment": built if request.require_construction else "NixlConnector need not be constructed.",
        "install_words": _words([*part_, *place]),
        "verify_words": _words(verify),
        "verify_flags": "".join(f" {word}" for word in verify),
        "found": "finds the vLLM that the base's Python imports, run as it will be,"
        if request.site_packages is None
        else f"takes the vLLM in `{request.site_packages}`,",
        "labels": " \\\n      ".join(f'{name}="{value}"' for name, value in told.items()),
    }


def _words(words: list[str]) -> str:
    """``words`` as the further elements of a RUN step's JSON list."""
    return "".join(f", {json.dumps(word, ensure_ascii=False)}" for word in words)


def qualified(base: str) -> str:
    """The base's name with its registry, as ``org.opencontainers.image.base.name`` wants it ("Annotations", OCI image-spec)."""
    name = base.partition("@")[0]
    host, slash, _ = name.partition("/")
    if slash and (host == "localhost" or not {".", ":"}.isdisjoint(host)):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _filled(template: str, values: dict[str, str]) -> bytes:
    text = (resources.files(__package__) / "templates" / template).read_text(encoding="utf-8")
    return Template(text).substitute(values).encode()


def _put(output: Path, files: dict[str, bytes], sign_with: str | None) -> None:
    """Write ``files`` beside ``output`` and swap them in; the statement is signed before that."""
    tops = {name.partition("/")[0] for name in files}
    if output.exists() and (
        not output.is_dir() or [p for p in output.iterdir() if p.name not in tops and not p.name.startswith(_SIGNED)]
    ):
        raise UsageError(f"{output} holds other things than a build context", fix="Choose another with --output")
    staging = output.with_name(f".{output.name}.kv-roles-new")
    try:
        with one_writer(output):
            discard(staging)
            staging.mkdir(parents=True)
            for name, data in files.items():
                path = staging / name
                path.parent.mkdir(parents=True, exist_ok=True)
                handles.write(path, data)
                path.chmod(0o644)
            if sign_with:
                provenance.sign(staging / _SIGNED, sign_with)
            exchange(staging, output)
    except OSError as e:
        raise os_error(f"{output} could not be written", e, "Choose another place with --output") from None
    finally:
        discard(staging)


def as_json(context: Context) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "schema": SCHEMA,
        "did": "image",
        "release": context.release,
        "base": context.base,
        "native": context.native,
        "path": str(context.path),
        "files": context.files,
    }


def text(context: Context) -> str:
    """For people."""
    lines = [f"vLLM {context.release}: build context in {said(context.path)}", f"  base      {said(context.base)}"]
    if context.native:
        lines.append("  this release warns by itself (native): the image only proves it")
    lines += [f"  {digest[:12]}  {name}" for name, digest in context.files.items()]
    lines.append(
        f"  build it with `cd {said(shell(context.path))} && docker buildx bake local`; its README.md says how"
    )
    return "\n".join(lines) + "\n"
