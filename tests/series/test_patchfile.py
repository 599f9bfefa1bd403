"""The engine that applies patches: it agrees with git, byte for byte, except that it never guesses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import unidiff
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kvroles.errors import Unproven
from kvroles.series import mail as variants
from kvroles.series import patchfile
from kvroles.series.patchfile import HunkMismatch

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted(ROOT.glob("patches/*/*.patch"))
MESSAGE = variants.Message(
    "A subject",
    "A body.\n\nTwo paragraphs: one. Not-A Trailer",
    {"Topic": "t", "Origin": "downstream", "Upstream-Status": "x", "Native-Since": "none", "Remove-When": "never"},
)


def mail(before: dict[str, bytes | None], after: dict[str, bytes | None], context: int = 3) -> patchfile.Patch:
    return patchfile.parse(variants.mail(MESSAGE, ">=0.9.0", before, after, context), "p")


# Few different lines, so that hunks find several places; blanks, CR, bytes that are no UTF-8, and lines like diff's own.
line = st.sampled_from(
    [b"a", b"b", b"", b"  a", b"\tb", b"x = 1\r", b"\xff\xfe", b"-- ", b"--- a/x", b"+++ b/x", b"@@ -1 +1 @@", b"\\ No"]
)
text = st.lists(line, max_size=25).map(lambda ls: b"\n".join(ls))


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A text and the same with some lines changed, added or taken out."""
    lines = draw(st.lists(line, min_size=1, max_size=25))
    after = list(lines)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(after)))
        after[at : at + draw(st.integers(0, 2))] = draw(st.lists(line, max_size=2))
    return b"\n".join(lines), b"\n".join(after)


@settings(max_examples=300)
@given(edited(), st.integers(1, 3))
def test_what_is_written_as_a_patch_is_what_it_makes(texts: tuple[bytes, bytes], context: int) -> None:
    before, after = texts
    assume(before != after)
    (f,) = mail({"f": before}, {"f": after}, context).files
    assert patchfile.apply(before, f)[0] == after
    assert patchfile.apply(after, f.reversed())[0] == before


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(edited(), st.lists(line, max_size=6), st.lists(line, max_size=6), st.integers(0, 24))
def test_it_lands_where_git_apply_lands_or_refuses(
    tmp_path: Path, texts: tuple[bytes, bytes], above: list[bytes], between: list[bytes], at: int
) -> None:
    before, after = (t + b"\n" for t in texts)  # git takes a line for the same one without its line end; we do not
    assume(before != after)
    raw = variants.mail(MESSAGE, ">=0.9.0", {"f": before}, {"f": after}, 1)
    lines = before.split(b"\n")
    moved = b"\n".join([*above, *lines[:at], *between, *lines[at:]])
    (f,) = patchfile.parse(raw, "p").files
    folder = tmp_path / "repository"
    if not folder.exists():
        folder.mkdir()
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / "f").write_bytes(moved)
    (folder / "p").write_bytes(raw)
    done = subprocess.run(["git", "apply", "--whitespace=nowarn", "p"], cwd=folder, capture_output=True, check=False)
    by_git = (folder / "f").read_bytes() if done.returncode == 0 else None
    try:
        by_us, fits = patchfile.apply(moved, f)
    except HunkMismatch:
        # A change at the very end of a file stays there with us; git, in the end, lets it land anywhere.
        assert by_git is None or any(h.at_end for h in f.hunks)
        return
    if by_git is not None:
        assert by_us == by_git
        assert len(fits) == len(f.hunks)


@pytest.mark.parametrize("file", PATCHES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_another_parser_reads_the_same_in_our_patches(file: Path) -> None:
    ours = patchfile.parse(file.read_bytes(), file.name)
    theirs = unidiff.PatchSet(file.read_bytes().decode())
    assert [f.path for f in ours.files] == [f.path for f in theirs]
    for f, other in zip(ours.files, theirs, strict=True):
        assert [len(h.old) for h in f.hunks] == [h.source_length for h in other]
        assert [len(h.new) for h in f.hunks] == [h.target_length for h in other]
    if file.parent.name == "earlier":
        return  # kept for what it changes, by files named for their topic
    assert ours.trailers.keys() >= {"Topic", "Origin", "Upstream-Status", "Applies-To", "Native-Since", "Remove-When"}
    assert ours.trailers["Topic"] == file.parent.name


def test_no_fuzz_ever() -> None:
    before = b"one\ntwo\nthree\nfour\nfive\n"
    (f,) = mail({"f": before}, {"f": before.replace(b"three", b"3")}).files
    for changed in (b"ONE", b"TWO", b"FIVE"):
        with pytest.raises(HunkMismatch) as e:
            patchfile.apply(before.replace(changed.lower(), changed), f)
        assert e.value.found == changed + b"\n"
        assert e.value.expected == changed.lower() + b"\n"


def test_an_offset_is_found_and_told() -> None:
    before = b"".join(b"line %d\n" % i for i in range(20))
    (f,) = mail({"f": before}, {"f": before.replace(b"line 10\n", b"ten\n")}).files
    after, (fit,) = patchfile.apply(b"new\n" * 7 + before, f)
    assert after == b"new\n" * 7 + before.replace(b"line 10\n", b"ten\n")
    assert (fit.line, fit.offset) == (f.hunks[0].old_start + 7, 7)


def test_of_several_places_the_nearest_is_taken_unless_only_one_will_do() -> None:
    block = b"x\ny\nz\n"
    before = block + b"-\n" * 10 + block + b"-\n"
    raw = GOOD[: GOOD.index(b"@@")] + b"@@ -14,3 +14,3 @@\n x\n-y\n+Y\n z\n-- \nv\n"
    (f,) = patchfile.parse(raw, "p").files
    assert patchfile.apply(b"new\n" + before, f)[0] == b"new\n" + block + b"-\n" * 10 + b"x\nY\nz\n-\n"
    with pytest.raises(HunkMismatch) as e:
        patchfile.apply(b"new\n" + before, f, unique=True)
    assert e.value.places == 2
    assert "2 places" in e.value.describe()[1]


def test_a_patch_creates_and_deletes_files() -> None:
    come = mail({"f": None}, {"f": b"hello\nworld"}).files[0]
    assert patchfile.apply(None, come)[0] == b"hello\nworld"
    assert patchfile.apply(b"hello\nworld", come.reversed())[0] is None
    for data, f in ((b"there", come), (None, come.reversed()), (b"other", come.reversed())):
        with pytest.raises(HunkMismatch):
            patchfile.apply(data, f)


def test_line_ends_are_bytes_like_any_other() -> None:
    before = b"a\r\nb\r\nc"
    (f,) = mail({"f": before}, {"f": b"a\r\nB\r\nc"}).files
    assert patchfile.apply(before, f)[0] == b"a\r\nB\r\nc"
    with pytest.raises(HunkMismatch):
        patchfile.apply(b"a\nb\nc", f)


def test_a_message_is_read_as_git_reads_it() -> None:
    patch = mail({"f": b"a\n"}, {"f": b"b\n"})
    assert patch.subject == "A subject"
    assert patch.body == MESSAGE.body
    assert patch.trailers == {**MESSAGE.trailers, "Applies-To": ">=0.9.0"}


GOOD = variants.mail(MESSAGE, ">=0.9.0", {"a/f": b"1\n2\n3\n"}, {"a/f": b"1\nX\n3\n"}, 1)
BAD = {
    "a rename": (b"--- a/a/f\n", b"rename from x\n--- a/a/f\n"),
    "a mode change": (b"--- a/a/f\n", b"old mode 100644\nnew mode 100755\n--- a/a/f\n"),
    "a binary change": (b"--- a/a/f\n", b"GIT binary patch\n--- a/a/f\n"),
    "a path above the tree": (b"+++ b/a/f", b"+++ b/../f"),
    "an absolute path": (b"+++ b/a/f", b"+++ /etc/f"),
    "an empty name": (b"+++ b/a/f", b"+++ b/a//f"),
    "a count too high": (b"@@ -1,3 ", b"@@ -1,4 "),
    "a count too low": (b"@@ -1,3 ", b"@@ -1,2 "),
    "no hunk header": (b"@@ -1,3", b"@ -1,3"),
    "a line of no kind": (b"\n-2\n", b"\n?2\n"),
    "text between files": (b"\n-- \n", b"\nhello\n-- \n"),
    "no signature": (b"\n-- \n", b"\n"),
    "no subject": (b"Subject: ", b"X-Subject: "),
    "no mail": (b"From ", b"Form "),
    "a message that is no text": (b"A body", b"\xff"),
    "two names for one file": (b"--- a/a/f", b"--- a/a/g"),
    "another name in its headline": (b"diff --git a/a/f b/a/f", b"diff --git a/a/g b/a/g"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_mail_is_refused(name: str) -> None:
    old, new = BAD[name]
    assert old in GOOD
    with pytest.raises(Unproven, match=r"^Patch p\.patch is damaged: ") as e:
        patchfile.parse(GOOD.replace(old, new, 1), "p.patch")
    assert "checkout HEAD -- patches" in str(e.value)


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_no_damage_makes_the_parser_crash(at: int, put: bytes, cut: int) -> None:
    try:
        patchfile.parse(GOOD[:at] + put + GOOD[at + cut :], "p")
    except Unproven:
        pass


@pytest.mark.parametrize("changed", ["above", "below"])
def test_context_comes_from_the_side_that_releases_share(changed: str) -> None:
    """The hunk fits twice with one line on either side, and what would tell the places apart is alike on one side only."""

    def text(neighbour: bytes, line: bytes) -> bytes:
        sides = {"above": b"first\n", "below": b"last\n"} | {changed: neighbour}
        return sides["above"] + b"x\n" + line + b"y\n" + sides["below"] + b"x\nold\ny\n"

    goals = [
        variants.Goal(release, {"f": text(neighbour, b"old\n")}, {"f": text(neighbour, b"new\n")})
        for release, neighbour in (("0.9.0", b"one\n"), ("0.9.1", b"another\n"))
    ]
    assert list(variants.fewest(MESSAGE, goals, None)) == ["0.9.0"]


def test_a_variant_ends_before_a_release_that_its_topic_has_nothing_to_do_in() -> None:
    goals = [
        variants.Goal(release, {"f": b"old\n"}, {"f": b"new\n"}) for release in ("0.9.0", "0.9.1", "0.10.0", "0.11.0")
    ]
    known = ["0.9.0", "0.9.1", "0.9.2", "0.10.0", "0.10.1", "0.11.0", "0.12.0"]
    made = variants.fewest(MESSAGE, goals, "0.12.0", known)
    assert {first: patchfile.parse(raw, first).trailers["Applies-To"] for first, raw in made.items()} == {
        "0.9.0": ">=0.9.0,<0.9.2",
        "0.10.0": ">=0.10.0,<0.10.1",
        "0.11.0": ">=0.11.0,<0.12.0",
    }
