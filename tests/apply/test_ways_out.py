"""What a refusal of apply advises is done, in a folder with a blank in its name, and the run then goes on.

Each test names the place that makes the refusal, as tests/command/refusals.tsv does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from kvroles.sources.objects import blob_id
from kvroles.tree import tree as tree_module
from support.clones import alike, in_
from support.driver import Ran
from support.files import put
from support.refusals import slow_but_some
from support.tiny import CONNECTOR, GUIDE, OVERLAY, SCRIPT, STRAGGLER, UTILS, pristine

Apply = Callable[..., Ran]
Refused = Callable[..., Ran]


class Case(NamedTuple):
    """A command line that is refused, what the fix line says, and what is done: files that change, another command line."""

    place: str
    wrong: str
    says: str
    right: str = ""  # the same once more
    first: str = ""  # a run that ends well, before
    files: Mapping[str, bytes | None] = MappingProxyType({})  # of the tree; None: taken away
    mended: Mapping[str, bytes | None] = MappingProxyType({})


INTO = "--into 'a tree'"
OLD = pristine("0.22.1")
ROLE = OLD[STRAGGLER]
EDITED = OLD[UTILS] + b"\n# far below\n\n\n\n# ours\n"
FORK = {"PKG-INFO": None, CONNECTOR: OLD[CONNECTOR] + b"# ours\n"}
CASES = [
    Case("apply.command.run.1", "--output new", "--help`", "--help"),
    Case("apply.command._refuse_unfit.1", f"--upstream x {INTO}", "Choose one of the two", INTO),
    Case("apply.command._refuse_unfit.2", f"--export 'a b' {INTO}", "Give --export with --list",
         "--list --vllm-rev 0.22.1 --export 'a b'"),
    Case("apply.command._refuse_unfit.3", "--list --with louder", "Leave it out", "--list"),
    Case("apply.command._refuse_unfit.4", f"{INTO} --only louder", "`--reverse --only louder`",
         f"{INTO} --reverse --only louder", f"{INTO} --with louder"),
    Case("apply.command._refuse_unfit.5", f"{INTO} --reverse --with louder", "`--reverse --only louder`",
         f"{INTO} --reverse --only louder", f"{INTO} --with louder"),
    Case("apply.command._refuse_unfit.6", f"{INTO} --reverse --only louder --3way", "Leave --3way out",
         f"{INTO} --reverse --only louder", f"{INTO} --with louder"),
    Case("console.refuse_idle.1", f"{INTO} --since 2001-02-03", "Leave --since out", INTO),
    Case("series.topics.topic.1", f"{INTO} --with loud", "Expected one of", f"{INTO} --with louder"),
    Case("apply.run.run.2", "--reverse --vllm-rev 0.22.1 --output new", "Name the tree with --into DIR", f"--reverse {INTO}", INTO),
    Case("apply.in_place._opened.1", "--into 'a tree/docs'", "Give --into the top folder", INTO),
    Case("apply.in_place._plan.1", f"{INTO} --reverse --only louder", "--reverse`", f"{INTO} --reverse", f"{INTO} --with louder",
         {"PKG-INFO": None, CONNECTOR: OLD[CONNECTOR].replace(b"started", b"begun")}),
    Case("apply.in_place._need_topic.1", f"{INTO} --reverse --only louder", "--check`", f"{INTO} --check", INTO),
    Case("apply.in_place._release.1", f"{INTO} --vllm-rev 0.9.0", "which finds the release", INTO),
    Case("apply.fit.need_connector.1", INTO, "--vllm-rev", f"{INTO} --vllm-rev 0.22.1",
         files={"PKG-INFO": None, CONNECTOR: None}, mended={CONNECTOR: OLD[CONNECTOR]}),
    Case("apply.fit._overlay.1", INTO, "Move it away and run again", files={**FORK, OVERLAY: b"x\n"}, mended={OVERLAY: None}),
    Case("apply.plan._on_top_of.2", f"{INTO} --reverse --only connector-warning", "--only louder`", f"{INTO} --reverse --only louder",
         f"{INTO} --with louder"),
    Case("apply.refusals.refusal.1", INTO, "--3way`", f"{INTO} --3way", files={OVERLAY: b"x\n"}),
    Case("apply.refusals.refusal.2", INTO, "Put the release's own file back", files={UTILS: None},
         mended={UTILS: OLD[UTILS]}),
    Case("apply.refusals.refusal.3", INTO, "--3way`", f"{INTO} --3way", files={UTILS: EDITED}),
    Case("apply.prove.prove_plan.1", INTO, "`--part runtime` patches what runs", f"{INTO} --part runtime",
         files={**FORK, **{path: None for path in OLD if path.startswith("tests/")}}),
    Case("apply.fit._unclear.1", INTO, "or give the file explicit roles by hand",
         files={**FORK, SCRIPT: OLD[SCRIPT].replace(b"start_prefill", b"start_one").replace(b"start_decode", b"start_two")},
         mended={SCRIPT: OLD[SCRIPT].replace(b"kv_both", b"kv_producer", 1).replace(b"kv_both", b"kv_consumer")}),
    Case("apply.prove.prove_plan.2", INTO, "Give the place its role by hand and run again",
         files={**FORK, "examples/ours.md": ROLE}, mended={"examples/ours.md": ROLE.replace(b"kv_both", b"kv_producer")}),
    Case("apply.refusals.hunk_refusal.2", INTO, "--3way`", f"{INTO} --3way",
         files={GUIDE: OLD[GUIDE].replace(b"Start the", b"Start our")}),
    Case("series.export.write.1", "--list --export 'a tree'", "Give --export a new or empty folder",
         "--list --vllm-rev 0.22.1 --export 'a b'"),
    Case("series.export.write.2", "--list --export 'a tree/README.md'", "Choose another folder with --export",
         "--list --vllm-rev 0.22.1 --export 'a b'"),
    Case("series.release.resolve.1", "--list --vllm-rev nope", "--list`", "--list"),
    Case("series.release.resolve.2", "--list --vllm-rev 0.8.5", "--list`", "--list"),
    Case("series.release.resolve.3", "--list --vllm-rev 0.22.7", "--list`", "--list"),
    Case("tree.tree.__init__.1", f"--into '{'x' * 300}'", "Check the path given to --into", INTO),
    Case("tree.tree.__init__.2", "--into 'no tree'", "Give --into the folder", INTO),
    Case("tree.tree.__init__.3", "--into 'a tree/README.md'", "or --into", INTO),
    Case("tree.writer._open_lock.1", "--vllm-rev 0.22.1 --output 'a tree/README.md/new'", "Choose another place with --output",
         "--vllm-rev 0.22.1 --output 'a new one'"),
    Case("sources.clone.at.1", "--upstream 'a tree/docs' --vllm-rev main --output new", "the top folder or the tar.gz",
         "--upstream 'a tree' --output new"),
    Case("sources.upstream.find.1", "--upstream 'no clone' --vllm-rev main --output new", "or the folder of a clone",
         "--upstream 'a tree' --output new"),
]  # fmt: skip
QUICK = {"apply.command._refuse_unfit.4", "console.refuse_idle.1", "apply.fit._overlay.1", "apply.refusals.refusal.3",
         "apply.prove.prove_plan.1", "apply.in_place._plan.1", "series.export.write.1", "tree.writer._open_lock.1"}  # fmt: skip
CLONES = [
    Case("apply.many.run.1", "--range a..b", "give its folder to --upstream", "--upstream 'a clone' --range main~1..main"),
    Case("sources.history._ends.1", "--upstream 'a clone' --range main", "Expected OLD..NEW", "--upstream 'a clone' --range main~1..main"),
    Case("sources.history.commits.1", "--upstream 'a clone' --since yesterday", "Expected YYYY-MM-DD",
         "--upstream 'a clone' --since 2001-02-03"),
    Case("sources.history.commits.3", "--upstream 'a clone' --range main..main~1", "OLD..NEW", "--upstream 'a clone' --range main~1..main"),
    Case("sources.git.checked_name.1", "--upstream 'a clone' --vllm-rev=--all --output new", "such as v0.22.1 or main",
         "--upstream 'a clone' --vllm-rev main --output new"),
    Case("sources.objects.commit_of.1", "--upstream 'a clone' --vllm-rev a-file --output new", "Name a branch, a commit, or a tag of one",
         "--upstream 'a clone' --vllm-rev main --output new"),
    Case("sources.objects.commit_of.2", "--upstream 'a clone' --vllm-rev t3 --output new", "Name its commit",
         "--upstream 'a clone' --vllm-rev COMMIT --output new"),
    Case("sources.upstream._in_clone.1", "--upstream 'an empty one' --vllm-rev main --output new", "Name a clone that does",
         "--upstream 'a clone' --vllm-rev main --output new"),
    Case("sources.objects.full_id.1", "--upstream 'a clone' --vllm-rev SHORT --output new", "Give more digits",
         "--upstream 'a clone' --vllm-rev COMMIT --output new"),
]  # fmt: skip


def lay(folder: Path, files: Mapping[str, bytes | None]) -> None:
    for name, data in files.items():
        if data is None:
            (folder / name).unlink()
        else:
            put(folder, {name: data})


@pytest.mark.parametrize("case", slow_but_some(CASES, QUICK))
def test_what_is_advised_in_place_of_a_wrong_argument_or_file_of_the_tree_is_taken(
    case: Case, refused: Refused, done: Apply, here: Path
) -> None:
    if case.first:
        done(case.first)
    lay(here, case.files)
    refused(case.place, case.wrong, case.says)
    lay(here, case.mended)
    done(case.right or case.wrong)


@pytest.mark.slow
@pytest.mark.parametrize("case", CLONES, ids=[c.place for c in CLONES])
def test_what_is_advised_in_place_of_a_wrong_argument_about_a_clone_is_taken(
    case: Case, refused: Refused, done: Apply, a_clone: Path, home: Path
) -> None:
    in_(put(home / "an empty one", {"x": b""}), "init", "-q")
    words = {"COMMIT": in_(a_clone, "rev-parse", "main"), "SHORT": blob_id(alike()[0])[:4]}
    wrong, right = (" ".join(words.get(word, word) for word in line.split(" ")) for line in (case.wrong, case.right))
    refused(case.place, wrong, case.says, set_={"kvroles.sources.objects._LONGEST_CHAIN": 3})
    done(right)


def test_a_file_larger_than_any_source_is_moved_out_of_the_tree(refused: Refused, done: Apply, here: Path) -> None:
    data = (here / UTILS).read_bytes()
    os.truncate(here / UTILS, tree_module._LARGEST + 1)
    refused("tree.tree.read.1", INTO, "Put the file there that vLLM ships")
    lay(here, {UTILS: data})
    done(INTO)


def test_a_link_is_replaced_by_what_it_points_to(refused: Refused, done: Apply, here: Path, home: Path) -> None:
    (here / UTILS).rename(home / "elsewhere.py")
    (here / UTILS).symlink_to(home / "elsewhere.py")
    refused("tree.tree.read.2", INTO, "a link by what it points to")
    (here / UTILS).unlink()
    (home / "elsewhere.py").rename(here / UTILS)
    done(INTO)
