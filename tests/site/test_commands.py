"""Every command that the site shows in a ``bash`` block is run, in a world where the names it uses exist.

Those in ``console`` blocks are run with what they print by ``tests/docs/test_docs_transcripts.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from kvroles.apply import plan as plans
from kvroles.digest import sha256
from kvroles.series.lock import ArchiveRow, Lock
from support import docs, files, oci, tiny, transcripts, wheels

from .world import LOCK, SERIES, World, pristine

MESSAGE = """\
nixl: a line more

Because a topic needs a reason.

Topic: my-topic
Origin: downstream
Upstream-Status: Inappropriate [ours alone]
Applies-To: >=0.22.0,<0.23.0
Native-Since: none
Remove-When: never
"""


def blocks(page: str) -> list[str]:
    """The shell blocks of a page below ``docs/`` that are commands for this project or git, not vLLM's."""
    path = docs.GUIDE if page == "migration.md" else docs.ROOT / "docs" / page
    return [b.text for b in docs.blocks(path) if b.info == "bash" and ("tools/" in b.text or "git " in b.text)]


def test_no_page_with_commands_is_forgotten() -> None:
    """Each page that has such a block has a test below that runs all of them."""
    site = [p for p in docs.written_pages() if (docs.ROOT / "docs") in p.parents or p == docs.GUIDE]
    pages = {"migration.md" if p == docs.GUIDE else p.relative_to(docs.ROOT / "docs").as_posix() for p in site}
    here = Path(__file__).read_text()
    for page in sorted(pages):
        count = len(blocks(page))
        assert (f'blocks("{page}")' in here) is (count > 0), page


def test_guide(world: World) -> None:
    world.check_out()
    world.cached("0.22.1", "0.33.0")
    files.put(world.checkout / "deploy", {"run.sh": b"vllm serve M --kv-transfer-config.kv_role kv_both\n"})
    world.stands_for["python -m pip install -e ."] = ":"  # what it brings is here; test_first_commands.py installs it
    live, tools = blocks("migration.md")
    assert "kubectl get pods" in live  # run by tests/docs/test_guide.py, with a kubectl that answers
    assert "docs/features/nixl_kv_role_migration.md" in world.run(tools)
    assert b"kv_both" in (world.checkout / "build/vllm-0.22.1" / tiny.CONNECTOR).read_bytes()


def test_home(world: World) -> None:
    world.check_out()
    world.cached("0.22.1")
    files.put(world.checkout / "deploy", {"prefill.sh": b"vllm serve M --kv-transfer-config.kv_role kv_both\n"})
    world.stands_for["PATH "] = "deploy "
    migrate, apply = blocks("index.md")
    assert "KVR1" in world.run(migrate)
    assert "applied, 21 files changed" in world.run(apply)


def test_playground(world: World) -> None:
    world.check_out()
    files.put(world.checkout / "deploy", {"prefill.sh": b"vllm serve M --kv-transfer-config.kv_role kv_both\n"})
    world.stands_for["PATH"] = "deploy"
    (migrate,) = blocks("playground.md")
    world.run(migrate)


def test_review_with_settings_that_the_tree_cannot_change(world: World) -> None:
    world.check_out()
    trusted = b'exclude = ["deploy/old/**"]\n'
    files.put(
        world.checkout,
        {".kv-roles.toml": trusted, "deploy/old/a.sh": b"vllm serve M --kv-transfer-config.kv_role kv_both\n"},
    )
    world.run(
        "git init -q && git add -f .kv-roles.toml && git commit -qm x && git update-ref refs/remotes/origin/main HEAD"
    )
    (world.checkout / ".kv-roles.toml").write_bytes(b"")  # as a pull request would
    world.stands_for["/tmp/trusted.toml"] = str(world.folder / "trusted.toml")
    (gate,) = blocks("howto/review.md")
    world.run(gate)
    assert (world.folder / "trusted.toml").read_bytes() == trusted


def test_relock_as_a_finding_of_the_lint_asks_for(world: World) -> None:
    world.check_out()
    world.cached_all()
    (relock,) = blocks("kvr/KVR011.md")
    assert "Nothing changed." in world.run(relock)


def test_platforms() -> None:
    """The one command is the guide's, which tests/docs/test_guide.py runs with a kubectl that answers."""
    (live,) = blocks("howto/platforms.md")
    assert live in blocks("migration.md")


def test_air_gapped(world: World) -> None:
    world.check_out()
    world.publish(world.archive("0.22.1"))
    world.stands_for["https://mirror.example.com/simple/"] = world.env.pop("PIP_INDEX_URL")
    (mirror,) = blocks("howto/air-gapped.md")
    assert "applied, 21 files changed" in world.run(mirror)


def test_fork_or_commit(world: World) -> None:
    world.check_out()
    world.cached("0.22.1")
    world.commit(pristine("0.14.1"), "v0.15.1")
    world.commit(pristine("0.22.1"), "my-branch")
    world.stands_for["https://github.com/vllm-project/vllm"] = str(world.vllm)
    files.put(world.folder / "source", {**pristine("0.22.1"), "vllm/__init__.py": b""})
    world.stands_for["/opt/vllm-source"] = str(world.folder / "source")
    part, upstream, am = blocks("howto/fork-or-commit.md")
    assert "applied" in world.run(part)
    assert b"kv_both" in (world.folder / "source" / tiny.CONNECTOR).read_bytes()
    assert world.run(upstream).count("contract  holds") == 2
    world.run("python tools/apply.py --list --export build/mails --vllm-rev 0.22.1")
    world.run(am)
    row = LOCK.releases["0.22.1"]
    plan = plans.plan(pristine("0.22.1").get, row, SERIES, SERIES.chosen())
    for change in plan.changes:
        assert (world.vllm / change.path).read_bytes() == change.after


def test_port(world: World) -> None:
    world.check_out()
    newest = list(LOCK.releases)[-1]
    major, minor = newest.split(".")[:2]
    new = f"{major}.{int(minor) + 1}.0"
    future = {p: b"# a line more\n" + d if p.endswith(".py") else d for p, d in pristine(newest).items()}
    made = world.folder / f"vllm-{new}.tar.gz"
    made.write_bytes(tiny.tarball(f"vllm-{new}", {**future, "vllm/__init__.py": b""}))
    world.publish(made)
    world.cached_all()
    port, by_hand, optional, prove, export = blocks("howto/port.md")
    (on_the_page,) = re.findall(r"--to (\S+)", port)
    world.stands_for[on_the_page] = new
    world.run(port)
    world.run(f"python tools/apply.py --vllm-rev {new} -q")
    world.run(by_hand)
    world.run(f"python tools/apply.py --into build/vllm-{new} --with bidirectional-fence -q")
    world.run(optional)
    count = len(LOCK.releases) + 1
    assert f"{count} of {count} proven" in world.run(prove)
    assert f"on v{new}, for `git am --keep-non-patch --signoff`" in world.run(export)


def test_write_a_topic(world: World) -> None:
    world.check_out()
    world.cached_all()
    world.commit(pristine("0.22.0"), "v0.22.0")
    branch, take_over = blocks("howto/write-a-topic.md")
    world.run(branch)
    with (world.vllm / "tests/v1/kv_connector/unit/utils.py").open("a") as changed:
        changed.write("# a line more\n")
    world.run(f"git add -A && git commit -q -m '{MESSAGE}'", cwd=world.vllm)
    world.run(take_over)
    assert "The patches are clean." in world.run("python tools/verify.py --lint")


def test_vendor(world: World) -> None:
    """On the small project, whose lock knows a small wheel, and in an environment that it is installed in."""
    small = tiny.make(world.folder / "small")
    shutil.copytree(small.root, world.checkout)
    wheel = wheels.make(world.folder / "in")
    known = ArchiveRow(wheel.name, sha256(wheel.read_bytes()), wheel.stat().st_size)
    lock = Lock.load(world.checkout)
    rows = {**lock.releases, "0.22.1": lock.releases["0.22.1"]._replace(wheels=(known,))}
    (world.checkout / "patches/lock.json").write_bytes(lock._replace(releases=rows).dumps())
    world.publish(wheel)
    build, pip_install, in_place, layout, signed = [b for b in blocks("howto/vendor-an-image.md") if "tools/" in b]
    (shown,) = [b.text for b in docs.blocks(docs.ROOT / "docs/howto/vendor-an-image.md") if b.info == "text"]
    assert transcripts.matches(re.sub(r"variant [\d.]+", "variant ...", shown), world.run(build))
    (own_index,) = blocks("howto/vendored-versions.md")
    world.run(own_index)
    assert (world.checkout / "build/wheels/simple").is_dir()
    cosign = files.put(world.folder / "bin", {"cosign": b'#!/bin/sh\ncp "$4" "$6"\n'}) / "cosign"
    cosign.chmod(0o755)
    world.env["PATH"] = f"{cosign.parent}{os.pathsep}{world.env['PATH']}"
    world.run(signed)
    (bundle,) = (world.checkout / "build/wheels").glob("*.bundle")
    assert bundle.read_bytes() == bundle.with_suffix("").read_bytes()

    image = wheels.installed(world.folder / "image", wheel)
    base = oci.Layout(world.folder / "base")
    base.name(base.image([oci.tar(oci.folder(image, "opt/venv/lib/python3.12/site-packages"))], "amd64", {}))
    copies = f'#!/bin/sh\ncase "$3" in docker://*) cp -r {base.path} base ;; *) test -f build/oci-0.22.1/index.json ;; esac\n'
    skopeo = files.put(world.folder / "bin", {"skopeo": copies.encode()}) / "skopeo"
    skopeo.chmod(0o755)
    world.run(layout)

    site = wheels.environment(world.folder / "env")
    python = site.parents[2] / "bin" / "python"
    world.stands_for["python -m pip"] = f"{sys.executable} -m pip --python {python}"
    world.env["PATH"] = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    assert "a vendored wheel" in world.run(pip_install)

    shutil.rmtree(world.folder / "env")
    site = wheels.installed(world.folder / "env", wheel)
    before = (site / tiny.CONNECTOR).read_bytes()
    world.run(in_place)
    assert (site / tiny.CONNECTOR).read_bytes() == before
