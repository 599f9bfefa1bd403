"""An option that a job of the maintainers' tools would pass over is refused, before anything is read or written."""

from __future__ import annotations

import pytest
from kvworkshop.effects import command as effects
from kvworkshop.pages import command as pages
from kvworkshop.port import command as port
from kvworkshop.verify import command as verify

IDLE = {
    "keep writes, whatever --check says": (port, ["--keep", "HEAD", "--check"], "--check has no effect with --keep"),
    "relock prints text": (port, ["--relock", "--json"], "--json has no effect with --relock"),
    "an export is of the newest release": (
        port, ["--export-upstream", "reject-kv-both", "--as", "0.22.1"], "--as has no effect with --export-upstream",
    ),
    "lint writes nothing": (verify, ["--lint", "--write"], "--write has no effect with --lint"),
    "lint is of all patches": (verify, ["--lint", "--shard", "1/2"], "--shard has no effect with --lint"),
    "clones are read by --check": (effects, ["--write", "--clones", "x"], "--clones has no effect with --write"),
    "a built site is sealed as it is": (pages, ["--seal", "x", "--no-diagrams"], "--no-diagrams has no effect with --seal"),
}  # fmt: skip


@pytest.mark.parametrize("case", IDLE)
def test_an_option_without_effect_is_refused(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    tool, argv, said = IDLE[case]
    assert tool.main(argv) == 2
    out, err = capsys.readouterr()
    assert (f"{said}. Leave {said.split()[0]} out." in " ".join(err.split())) or said in out
