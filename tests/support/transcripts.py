"""Run the console blocks of a page, and compare what they print with what the page shows."""

from __future__ import annotations

import os
import re
from pathlib import Path

from support import terminal
from support.docs import Block

HOME = "~/vllm-kv-roles"  # how pages write the checkout's absolute path
_MARK = "@@end-of-command@@"


def commands(block: Block) -> list[tuple[str, str]]:
    """(command, what the page says it prints); a command may go on in lines that start with ``> ``."""
    out: list[tuple[str, str]] = []
    for line in block.text.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            out.append((line[2:], ""))
        elif line.startswith("> ") and out and not out[-1][1]:
            out[-1] = (out[-1][0] + "\n" + line[2:], "")
        else:
            assert out, f"{block} does not begin with a command"
            out[-1] = (out[-1][0], out[-1][1] + line + "\n")
    return out


def run(block: Block, checkout: Path) -> list[tuple[str, str, str]]:
    """(command, expected, printed) of each command, run in one shell in ``checkout``."""
    steps = commands(block)
    script = "".join(f"{command}\nrc=$?; printf '%s\\n' '{_MARK}'; (exit $rc)\n" for command, _ in steps)
    env = {**os.environ, "PATH": terminal.PATH, "COLUMNS": "100", "NO_COLOR": "1"}
    done = terminal.run("bash", "-c", script, cwd=checkout, env=env)
    printed = done.stdout.replace(str(checkout), HOME).split(f"{_MARK}\n")[: len(steps)]
    return [(command, expected, got) for (command, expected), got in zip(steps, printed, strict=True)]


def matches(expected: str, printed: str) -> bool:
    """Whether ``printed`` is ``expected``, where ``...`` stands for anything and blanks and line breaks count alike."""
    words = [re.escape(" ".join(part.split())) for part in expected.split("...")]
    return re.fullmatch(r"\s*" + r".*?".join(words) + r"\s*", " ".join(printed.split()), re.DOTALL) is not None
