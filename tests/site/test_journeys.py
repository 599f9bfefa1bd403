"""From the home page to a finished task, as a person goes: click by click, then the commands that the pages let one copy."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator

import pytest
from kvroles.digest import sha256
from kvroles.series.lock import ArchiveRow, Lock
from support import files, tiny, wheels

from .visit import PHONE, Watched, clipboard
from .world import World, pristine

BOTH = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'


class Person:
    """Somebody at a browser, with a shell beside it."""

    def __init__(self, visit: Watched, world: World) -> None:
        self.visit, self.page, self.world = visit, visit.open(""), world

    def click(self, name: str, leads_to: str) -> None:
        """Follow a link of the text by its words."""
        self.page.locator("article").get_by_role("link", name=name).first.click()
        self.page.wait_for_url(f"**/{leads_to}")

    def menu(self, name: str, leads_to: str) -> None:
        """Follow an entry of the menu beside the text."""
        self.page.locator(".md-nav--primary").get_by_role("link", name=name, exact=True).first.click()
        self.page.wait_for_url(f"**/{leads_to}")

    def copy(self, words: str) -> str:
        """Press the copy button of the block that holds ``words``; returns what lies in the clipboard."""
        block = self.page.locator(".highlight", has_text=words).first
        block.scroll_into_view_if_needed()
        block.hover()
        block.locator(".md-code__button[title='Copy to clipboard']").click()
        return clipboard(self.page)

    def run(self, words: str) -> str:
        """Copy the block that holds ``words``, paste it into the shell, and return what it printed."""
        return self.world.run(self.copy(words))


@pytest.fixture
def person(reader: Callable[..., Watched], world: World) -> Iterator[Callable[..., Person]]:
    def arrive(**options: object) -> Person:
        world.check_out()
        world.stands_for["python -m pip install -e ."] = ":"  # test_first_commands.py installs it on a bare machine
        return Person(reader(permissions=["clipboard-read", "clipboard-write"], **options), world)

    return arrive


def _clone(text: str, world: World) -> None:
    """The first commands lead to a checkout, which is here already."""
    assert text.startswith("git clone https://")
    assert "cd vllm-kv-roles" in text


def test_a_deployer_on_0_22_1_learns_that_nothing_breaks_and_migrates(person: Callable[..., Person]) -> None:
    p = person()
    assert "No. Every release up to" in p.page.locator("article").inner_text()
    p.click("does my release care?", "does-my-release-care/")
    p.page.locator("select[name=release]").select_option("0.22.1")
    assert p.page.get_by_role("status").inner_text() == "vLLM 0.22.1: the role changes nothing."
    p.page.locator(".md-tabs").get_by_role("link", name="Home").click()
    p.page.wait_for_url("**/dev/")
    p.click("migrate your configurations", "howto/rewrite-configs/")
    _clone(p.copy("git clone"), p.world)
    assert p.run("cat > deploy/prefill.yaml") == ""
    assert "KVR101" in p.run("1 role certain in 1 file")
    assert "no NIXL role says kv_both" in p.run("tools/migrate.py --write deploy")
    assert '"kv_role":"kv_producer"' in (p.world.checkout / "deploy/prefill.yaml").read_text()


def test_a_deployer_of_bidirectional_transfer_on_0_24_0_keeps_kv_both_on_prefill(person: Callable[..., Person]) -> None:
    """At night, on a phone."""
    p = person(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    p.click("does my release care?", "does-my-release-care/")
    p.page.locator("select[name=release]").select_option("0.24.0")
    p.page.get_by_label("bidirectional transfer").check()
    row = p.page.locator("#block-fence")
    assert "Keep kv_both on a bidirectional prefill instance" in row.inner_text()
    row.get_by_role("link", name="In the guide").click()
    p.page.wait_for_url("**/migration/#bidirectional-transfer")
    assert p.page.locator("h3#bidirectional-transfer").is_visible()
    table = p.page.locator("tr", has_text=re.compile(r"0\.24\.0 to \d")).filter(has_text="kv_both").first
    assert table.is_visible()

    decode = json.loads(
        p.copy('"kv_role": "kv_consumer",\n  "kv_connector_extra_config": {"bidirectional_kv_xfer": true}')
    )
    assert decode["kv_role"] == "kv_consumer"
    # What stays on prefill, as the guide shows it, in a manifest: the tool does not change it either, and says why.
    before = json.loads(p.copy('"kv_role": "kv_both",\n  "kv_connector_extra_config": {"bidirectional_kv_xfer": true}'))
    manifest = f"vllm serve MODEL --kv-transfer-config '{json.dumps(before)}'  # prefill\n".encode()
    files.put(p.world.checkout / "deploy", {"prefill.sh": manifest})
    said = p.world.run("python tools/migrate.py --target-vllm 0.24.0 deploy")
    assert "KVR131" in said
    p.world.run("python tools/migrate.py --write deploy")
    assert (p.world.checkout / "deploy/prefill.sh").read_bytes() == manifest


def test_a_platform_engineer_makes_a_wheel_and_an_image_that_warn(person: Callable[..., Person]) -> None:
    p = person()
    small = tiny.make(p.world.folder / "small")
    shutil.rmtree(p.world.checkout)
    shutil.copytree(small.root, p.world.checkout)
    wheel = wheels.make(p.world.folder / "in")
    known = ArchiveRow(wheel.name, sha256(wheel.read_bytes()), wheel.stat().st_size)
    lock = Lock.load(p.world.checkout)
    rows = {**lock.releases, "0.22.1": lock.releases["0.22.1"]._replace(wheels=(known,))}
    (p.world.checkout / "patches/lock.json").write_bytes(lock._replace(releases=rows).dumps())
    p.world.publish(wheel)

    p.click("wheel or an image", "howto/vendor-an-image/")
    assert "version   0.22.1+kvroles.1" in p.run("vendor.py wheel --vllm-rev 0.22.1\n")
    image = p.copy("vendor.py image --vllm-rev 0.22.1 --base vllm/vllm-openai@sha256:")
    assert "docker buildx bake local" in p.world.run(image)
    context = p.world.checkout / "build/image-0.22.1"
    assert {"Dockerfile", "apply.pyz", "kubernetes"} <= {f.name for f in context.iterdir()}
    p.click("the migration guide", "migration/")


def test_a_maintainer_of_a_fork_patches_a_tree_of_their_own(person: Callable[..., Person]) -> None:
    p = person()
    p.world.cached("0.22.1")
    p.click("source tree", "first-tree/")
    _clone(p.copy("git clone"), p.world)
    assert "applied, 21 files changed" in p.run("python tools/apply.py --vllm-rev 0.22.1\n")
    p.menu("Patch a fork or a commit", "howto/fork-or-commit/")
    assert "would be applied, 21 files would change" in p.run("--into build/fork --check")
    p.world.commit({**pristine("0.22.1"), "vllm/mine.py": b"x = 1\n"}, "my-branch")
    assert "0006-overlay.patch" in p.run("--list --export build/mails")
    p.run("git -C ../vllm am")
    assert "kv_both" in (p.world.vllm / tiny.CONNECTOR).read_text()
    assert (p.world.vllm / "vllm/mine.py").read_bytes() == b"x = 1\n"
    assert re.search(r"kv_role == .kv_both", (p.world.vllm / tiny.CONNECTOR).read_text())
