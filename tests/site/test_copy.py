"""What the copy button of a code block gives is whole: a shell, a parser or a config reader takes it as it is."""

from __future__ import annotations

import ast
import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .conftest import Built
from .visit import playwright

# The button puts the text into the clipboard by the browser's own command, which a page can watch.
_PRESS = """() => {
  const taken = [];
  document.addEventListener('copy', () => {
    const field = document.activeElement;
    taken.push(field && field.value !== undefined ? field.value : String(getSelection()));
  }, true);
  const out = [];
  for (const block of document.querySelectorAll('article .highlight')) {
    const button = block.querySelector(".md-code__button[title='Copy to clipboard']");
    const kind = [...block.classList].find(c => c.startsWith('language-'));
    if (!button || !kind) continue;
    for (let box = block.closest('details'); box; box = box.parentElement.closest('details')) box.open = true;
    const tab = block.closest('.tabbed-block');
    if (tab) {
      const set = tab.closest('.tabbed-set');
      set.querySelectorAll(':scope > input')[[...tab.parentElement.children].indexOf(tab)].checked = true;
    }
    taken.length = 0;
    button.click();
    out.push([kind.slice(9), taken.join('\\n')]);
  }
  return out;
}"""


@pytest.fixture(scope="module")
def copied(browser: playwright.Browser, address: str, built: Built) -> list[tuple[str, str, str]]:
    """(page, language, text) of every block of every page that has code for a reader to take."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    found: list[tuple[str, str, str]] = []
    for html in sorted(built.html.rglob("*.html")):
        if 'class="language-' not in html.read_text("utf-8") or "patches" in html.relative_to(built.html).parts:
            continue
        name = html.relative_to(built.html).as_posix().removesuffix("index.html")
        page.goto(address + name)
        page.locator(".md-code__button").first.wait_for(state="attached")
        found += [(name, kind, text) for kind, text in page.evaluate(_PRESS)]
    context.close()
    return found


def _of(copied: list[tuple[str, str, str]], *kinds: str) -> list[tuple[str, str]]:
    some = [(page, text) for page, kind, text in copied if kind in kinds]
    assert some, kinds
    return some


def test_every_block_gives_something(copied: list[tuple[str, str, str]]) -> None:
    assert len(copied) > 150
    assert not [(page, kind) for page, kind, text in copied if not text.strip()]


def test_a_shell_takes_what_every_block_of_commands_gives(copied: list[tuple[str, str, str]]) -> None:
    """Each is whole commands: no prompt, no output, quotes closed, heredocs ended."""
    for page, text in _of(copied, "bash", "console", "sh"):
        done = subprocess.run(["bash", "-n"], input=text + "\n", capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"{page}\n{text}\n{done.stderr}"
        assert not [line for line in text.split("\n") if line.startswith(("$ ", "> "))], f"{page}\n{text}"


@pytest.mark.parametrize(
    ("kind", "reads"),
    [
        ("json", json.loads),
        ("python", ast.parse),
        ("toml", tomllib.loads),
        ("yaml", lambda t: list(yaml.safe_load_all(t))),
    ],
)
def test_a_reader_of_its_language_takes_every_other_block(
    copied: list[tuple[str, str, str]], kind: str, reads: Callable[[str], object]
) -> None:
    for page, text in _of(copied, kind):
        try:
            reads(text)
        except (ValueError, SyntaxError, yaml.YAMLError) as e:
            pytest.fail(f"{page}: {e}\n{text}")


def test_a_transcript_gives_its_commands_in_a_shell_that_waits_for_nothing(
    copied: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    """Pasted into an interactive shell, the block that writes a file writes it and the prompt is back."""
    (heredoc,) = [t for p, t in _of(copied, "console") if p == "howto/rewrite-configs/" and "<<'END'" in t]
    done = subprocess.run(
        ["bash", "--norc", "-i"],
        input=heredoc + "\necho prompt is back\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("prompt is back\n")
    assert "kv_both" in (tmp_path / "deploy" / "prefill.yaml").read_text()
