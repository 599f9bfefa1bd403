"""A review as a terminal shows it, for the page about it: the real command in a real terminal of 80 columns.

python -m kvworkshop.pages.recording    (in tools/) writes docs/assets/review.txt anew
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from kvroles.console import say

from kvworkshop.own import ROOT

KEPT = Path("docs/assets/review.txt")
COMMAND = "kv-roles migrate --review deploy"
_NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
FILES = {
    "deploy/worker-a.sh": f"""\
#!/bin/bash
# the first of the two machines
vllm serve MODEL --port 8100 \\
  --kv-transfer-config '{_NIXL}'
""",
    "deploy/values.yaml": f"""\
name: decode
args:
  - --kv-transfer-config
  - '{_NIXL}'
""",
    "deploy/README.md": f"""\
Start either server with:

```json
{_NIXL}
```
""",
}
# What is waited for on the screen, and what is typed then.
KEYS = (
    ("(1 of 3) Which side? [p,d,b,s,u,q,?] ", "b"),
    ("Why does it stay kv_both? ", "the page is for both sides\r"),
    ("(2 of 3) Which side? [p,d,b,s,u,q,?] ", "d"),
    ("(3 of 3) Which side? [p,d,b,s,u,q,?] ", "p"),
    ("Write 2 roles in 2 files? [y,n] ", "y"),
)


def recorded() -> str:
    """What the terminal shows, from the command to its end, and then what the answers' file holds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".git").mkdir()
        for file, text in FILES.items():
            path = folder / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        shown = _session(folder)
        answers = (folder / ".kv-roles.toml").read_text()
    return f"$ {COMMAND}\n{shown}$ cat .kv-roles.toml\n{answers.rstrip()}\n"


def _session(folder: Path) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "TERM": "dumb", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    env.pop("COLUMNS", None)
    words = [sys.executable, "-m", "kvcommand.main", *COMMAND.split()[1:]]
    child = subprocess.Popen(words, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen, at = "", 0
    for words_waited_for, keys in KEYS:
        while words_waited_for not in seen[at:]:
            if not (piece := _read(ours)):
                raise RuntimeError(f"the review ended before it said {words_waited_for!r}:\n{seen}")
            seen += piece
        at = seen.index(words_waited_for, at) + len(words_waited_for)
        os.write(ours, keys.encode())
    while piece := _read(ours):
        seen += piece
    os.close(ours)
    if child.wait():
        raise RuntimeError(f"the review ended with {child.returncode}:\n{seen}")
    return "\n".join(line.rstrip() for line in seen.replace("\r\n", "\n").split("\n"))


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode()
    except OSError:  # what Linux answers once the other end is closed
        return ""


def main() -> int:
    """Write the recording that the page shows."""
    (ROOT / KEPT).write_text(recorded())
    say(f"{KEPT} written")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
