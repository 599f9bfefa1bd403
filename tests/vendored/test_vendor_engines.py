"""Container engines take what ``vendor.py`` writes: podman, buildah and skopeo load the layout, buildah builds the context.

Against a synthetic base, without a network and without a daemon; the storage is the test's own.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import oci
from support.driver import Ran
from support.tiny import CONNECTOR, Tiny

Vendor = Callable[..., Ran]
pytestmark = pytest.mark.slow
_POLICY = {"default": [{"type": "insecureAcceptAnything"}]}


class Engine:
    """Commands of one engine on a storage of the test's own; what it printed comes back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "policy.json").write_text(json.dumps(_POLICY))
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        (folder / "containers.conf").write_text("")
        self.env = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(folder),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(folder),
        }

    def run(self, *argv: str | Path, cwd: Path | None = None, code: int = 0) -> str:
        policy = ("--signature-policy", str(self.folder / "policy.json"))
        words = [str(a) for a in argv]
        if words[0] == "skopeo":
            words[1:1] = ["--policy", policy[1]]
        elif words[1] in ("pull", "load", "from", "build"):
            words[2:2] = policy
        done = subprocess.run(words, env=self.env, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if code else "")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    missing = [n for n in ("podman", "buildah", "skopeo") if shutil.which(n) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which this machine lacks")
    if os.geteuid() != 0:
        pytest.skip("needs to be root: the images hold files of other users")
    made = Engine(tmp_path / "engine")
    yield made
    subprocess.run(["buildah", "rm", "--all"], env=made.env, capture_output=True, check=False)


@pytest.fixture
def made(vendor: Vendor, site: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A patched layout for two platforms, and what the command said of it."""
    base = oci.Layout(tmp_path / "base")
    below = {"etc": None, "etc/passwd": b"root:x:0:0::/:/bin/sh\nvllm:x:2000:0::/:/bin/sh\n"}
    layers = [oci.tar(below), oci.tar(oci.folder(site, oci.AT), oci.group_0)]
    images = [base.image(layers, arch, oci.SETTINGS) for arch in ("amd64", "arm64")]
    path = base.name(base.index(images))
    output = tmp_path / "image"
    command = ("oci", "--vllm-rev", "0.22.1", "--base", path, "--output", output, "--no-strict", "--json")
    return output, oci.said(vendor(*command))


def test_skopeo_reads_and_copies_every_platform_and_keeps_the_digests(
    engine: Engine, made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    output, told = made
    raw = engine.run("skopeo", "inspect", "--raw", f"oci:{output}:{told['name']}")
    assert [m["digest"] for m in json.loads(raw)["manifests"]] == [p["manifest"] for p in told["platforms"]]
    engine.run("skopeo", "copy", "--all", f"oci:{output}:{told['name']}", f"oci:{tmp_path}/copy:x")
    assert json.loads((tmp_path / "copy/index.json").read_text())["manifests"][0]["digest"] == told["digest"]
    for arch in ("amd64", "arm64"):
        seen = json.loads(
            engine.run("skopeo", "--override-arch", arch, "inspect", "--config", f"oci:{output}:{told['name']}")
        )
        assert (seen["architecture"], seen["config"]["User"]) == (arch, "2000")


@pytest.mark.parametrize("name", ["podman", "buildah"])
def test_an_engine_loads_it_and_its_root_is_the_base_with_the_patch(
    engine: Engine, made: tuple[Path, dict[str, Any]], tiny: Tiny, tmp_path: Path, name: str
) -> None:
    """Folders keep the base's modes and owners, which an engine that finds none in the layer makes up."""
    output, told = made
    if name == "podman":
        subprocess.run(["tar", "-C", output, "-cf", tmp_path / "image.oci.tar", "."], check=True)
        engine.run("podman", "load", "--input", tmp_path / "image.oci.tar")
        image = engine.run("podman", "images", "--format", "{{.ID}}").split()[0]
        root = Path(engine.run("podman", "image", "mount", image).strip())
        labels = json.loads(engine.run("podman", "image", "inspect", image))[0]["Labels"]
    else:
        image = engine.run("buildah", "pull", "--quiet", f"oci:{output}:{told['name']}").split()[-1]
        container = engine.run("buildah", "from", "--pull=never", image).strip()
        root = Path(engine.run("buildah", "mount", container).strip())
        labels = json.loads(engine.run("buildah", "inspect", container))["OCIv1"]["config"]["Labels"]
    assert labels["vllm-kv-roles.proof"] == "files read, not run"
    site = root / oci.AT
    assert (site / CONNECTOR).read_bytes() == tiny.applied()[CONNECTOR]
    assert not list((site / CONNECTOR).parent.glob("__pycache__/connector.*"))
    for path in ((site / CONNECTOR), *(site / CONNECTOR).parents[:5], site / "vllm-0.22.1.dist-info"):
        st = path.stat()
        assert (st.st_uid, st.st_gid) == (1001, 0), path
        assert st.st_mode & 0o7777 == (0o2775 if path.is_dir() else 0o664), path
    assert (site / "vllm-0.22.1.dist-info/kv-roles").stat().st_mode & 0o020, "group 0 may go on writing"


@pytest.fixture
def context(vendor: Vendor, engine: Engine, site: Path, tmp_path: Path) -> Path:
    """A build context whose base is in the engine's storage; its Python comes from this machine, through mounts."""
    for pyc in site.rglob("*.pyc"):
        pyc.unlink()
    root = site.parents[2]
    container = engine.run("buildah", "from", "scratch").strip()
    engine.run("buildah", "copy", "--quiet", container, root, "/opt/venv")
    engine.run("buildah", "config", "--env", "PATH=/opt/venv/bin:/usr/bin:/bin", "--user", "2000", container)
    engine.run("buildah", "commit", "--quiet", container, "localhost/base:1")
    vendor(
        "image", "--vllm-rev", "0.22.1", "--base", "localhost/base:1", "--allow-tag", "--no-strict",
        "--output", tmp_path / "context",
    ).ok()  # fmt: skip
    return tmp_path / "context"


def _mounts() -> list[str]:
    places = [p for p in ("/usr", "/lib", "/lib64", "/bin", sys.base_prefix) if Path(p).exists()]
    return [f"--volume={p}:{p}:ro" for p in dict.fromkeys(places)]


def _line(context: Path, engine: Engine, tag: str) -> str:
    """README.md's command for an older buildah, as it stands but for the tag and for what only this machine needs."""
    readme = (context / "README.md").read_text()
    line = next(x for x in readme.splitlines() if x.startswith("sed ") and "buildah build" in x)
    more = shlex.join([*_mounts(), "--pull=never", "--no-cache", f"--signature-policy={engine.folder}/policy.json"])
    return line.replace("vllm-kv-roles:0.22.1", tag).replace("buildah build", f"buildah build {more}")


def test_buildah_builds_the_context_as_its_readme_says_and_twice_the_same(engine: Engine, context: Path) -> None:
    """The line for a buildah that does not know RUN --network, and the plain one where it does."""
    readme = (context / "README.md").read_text()
    digests = []
    for tag in ("one", "two"):
        engine.run("sh", "-euc", _line(context, engine, tag), cwd=context)
        digests.append(engine.run("buildah", "inspect", "--type=image", "--format={{.FromImageDigest}}", tag))
    assert digests[0] == digests[1]
    plain = subprocess.run(
        ["buildah", "build", *_mounts(), "--pull=never", "--signature-policy", str(engine.folder / "policy.json"), "."],
        env=engine.env, cwd=context, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if plain.returncode:
        assert "RUN only supports the --mount flag" in plain.stderr, "what README.md says of an older buildah"
        assert "RUN only supports the --mount flag" in " ".join(readme.split())


def test_the_layer_holds_what_the_dockerfiles_copy_puts_into_one(
    engine: Engine, vendor: Vendor, context: Path, tmp_path: Path
) -> None:
    """Two ways to one layer: RUN and COPY by buildah, and no container at all."""
    engine.run("sh", "-euc", _line(context, engine, "built"), cwd=context)
    engine.run("skopeo", "copy", "--quiet", "containers-storage:localhost/built", f"oci:{tmp_path}/built:x")
    engine.run("skopeo", "copy", "--quiet", "containers-storage:localhost/base:1", f"oci:{tmp_path}/base:x")
    vendor(
        "oci", "--vllm-rev", "0.22.1", "--base", tmp_path / "base", "--output", tmp_path / "ours", "--no-strict"
    ).ok()
    theirs, ours = (
        {p: d for layer in oci.Read.of(tmp_path / name).layers()[1:] for p, d in oci.regular(layer).items()}
        for name in ("built", "ours")
    )
    assert ours
    theirs = {p: d for p, d in theirs.items() if p.startswith("opt/")}
    assert theirs.keys() == ours.keys()
    for path, data in ours.items():
        assert theirs[path].decode() == data.decode(), path
