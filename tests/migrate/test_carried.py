"""A script, a manifest or a program that another file carries, data that is written in another style: it means the same.

Each file of the labelled corpus is put whole into a file of another kind, as people do: a workflow's step, a ConfigMap, a
heredoc, a cell. No role may come out on another side, and none that was a role may be told to be harmless.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import yaml
from kvroles.evidence.text import TOKEN
from kvroles.migrate import run
from kvroles.migrate.codes import CODES, Means
from kvroles.migrate.settings import Options, Settings
from support import verdicts
from support.cost import slow_but


class Carrier(NamedTuple):
    """The file that carries a text: its name, and how it is written round the text."""

    name: str
    write: Callable[[str], str]


def _below(head: str, columns: int, tail: str = "") -> Callable[[str], str]:
    """A writer: ``head``, the text indented by ``columns``, ``tail``."""
    return lambda s: f"{head}\n{textwrap.indent(s, ' ' * columns)}\n{tail}"


def _cell(s: str) -> str:
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "source": ("%%bash\n" + s).splitlines(keepends=True)}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _hcl(s: str) -> str:
    return _below('resource "local_file" "x" {\n  content = <<-EOT', 4, "  EOT\n}\n")(s.replace("${", "$${"))


def _literal(s: str) -> str:
    """The text between back quotes, as TypeScript takes it."""
    escaped = s.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    return f"const doc = `\n{escaped}\n`;\napply(doc);\n"


CARRIERS = {
    "shell": {
        "a workflow's step": Carrier("ci.yml", _below("jobs:\n  run:\n    steps:\n      - run: |", 10)),
        "a pod's arguments": Carrier(
            "pod.yaml",
            _below("kind: Pod\nspec:\n  containers:\n    - command: [bash, -c]\n      args:\n        - |", 10),
        ),
        "a ConfigMap of a chart": Carrier(
            "templates/cm.yaml", _below("kind: ConfigMap\ndata:\n  start.sh: |", 4, "{{- if .Values.x }}\n{{- end }}\n")
        ),
        "Terraform": Carrier("main.tf", _hcl),
        "an image": Carrier("Dockerfile", lambda s: f"FROM vllm\nCOPY <<'EOSH' /start.sh\n{s}\nEOSH\n"),
        "a page": Carrier("notes.md", lambda s: f"Start it:\n\n```bash\n{s}\n```\n"),
        "a notebook": Carrier("run.ipynb", _cell),
        "PowerShell": Carrier("run.ps1", lambda s: f"$s = @'\n{s}\n'@\nwsl bash -c $s\n"),
    },
    "yaml": {
        "a ConfigMap": Carrier("cm.yaml", _below("kind: ConfigMap\ndata:\n  v.yaml: |", 4)),
        "a script": Carrier("up.sh", lambda s: f"kubectl apply -f - <<'EOY'\n{s}\nEOY\n"),
        "a script in a workflow": Carrier(
            "ci.yml",
            lambda s: _below("jobs:\n  run:\n    steps:\n      - run: |", 10)(f"cat > v.yaml <<'EOY'\n{s}\nEOY"),
        ),
        "an Application": Carrier("app.yaml", _below("kind: Application\nspec:\n  source:\n    helm:\n      values: |", 8)),
        "Terraform": Carrier("main.tf", _hcl),
        "a page": Carrier("notes.md", lambda s: f"Deploy it:\n\n```yaml\n{s}\n```\n"),
        "Python": Carrier("deploy.py", lambda s: f'DOC = r"""\n{s}\n"""\napply(yaml.safe_load_all(DOC))\n'),
        "TypeScript": Carrier("deploy.ts", _literal),
    },
    # Only the name of the file says what it is.
    "code": {
        "a ConfigMap": Carrier("cm.yaml", _below("kind: ConfigMap\ndata:\n  {name}: |", 4)),
        "cloud-init": Carrier(
            "user-data.yaml", _below("write_files:\n  - path: /opt/{name}\n    content: |", 6)
        ),
        "a task's file": Carrier(
            "tasks.yml", _below("- name: file\n  copy:\n    dest: /etc/{name}\n    content: |", 6)
        ),
        "a script": Carrier("up.sh", lambda s: f"cat > {{name}} <<'EOY'\n{s}\nEOY\n"),
        "an image": Carrier("Dockerfile", lambda s: f"FROM vllm\nCOPY <<'EOY' /opt/{{name}}\n{s}\nEOY\n"),
    },
}  # fmt: skip
KINDS = {".sh": "shell", ".yaml": "yaml", ".yml": "yaml"} | dict.fromkeys(
    (".py", ".toml", ".go", ".rs", ".ts", ".js", ".ps1", ".mk", ".service", ".tf", ".json", ".ini", ".env"), "code"
)
LEAST = {"shell": 60, "yaml": 60, "code": 90}  # files that a carrier changes nothing about
EACH = [(kind, place) for kind, carriers in CARRIERS.items() for place in carriers]


def _told(name: str, text: str) -> list[str]:
    """What is said of each ``kv_both``: the role it becomes, "harmless", or "open" where a person is asked."""
    result = run.of_bytes(f"x/{name}", f"x/{name}", text.encode(), Options(Settings()))
    said: dict[int, str] = {}
    for f in result.findings if result is not None else ():
        at = text.find(TOKEN, f.pos - 1)
        harmless = CODES[f.code].means is Means.HARMLESS
        if said.get(at, "harmless") == "harmless":
            said[at] = f.role or ("harmless" if harmless else "open")
    return [said.get(at, "nothing") for at in _places(text)]


def _places(text: str) -> list[int]:
    return [i for i in range(len(text)) if text.startswith(TOKEN, i)]


@pytest.mark.parametrize(("kind", "place"), slow_but([("yaml", "Terraform"), ("shell", "a notebook")], EACH))
def test_a_text_that_a_file_carries_means_what_it_means_alone(kind: str, place: str) -> None:
    carrier = CARRIERS[kind][place]
    same, wrong = 0, []
    for held, (name, data) in verdicts.inputs().items():
        text = data.decode(errors="replace").replace("\r\n", "\n").rstrip("\n")
        suffix = "." + name.rpartition(".")[2]
        if (
            KINDS.get(suffix) != kind
            or not held.startswith("corpus/")
            or "\ufffd" in text
            or ("\t" in text and kind != "code")
        ):
            continue
        if kind != "shell" and ("{{" in text or text.startswith(("%", "\ufeff"))):
            continue  # a template's braces are the carrier's own there
        written = carrier.write(text).replace("{name}", f"a{suffix}", 1)
        alone, carried = _told(f"a{suffix}", text), _told(carrier.name, written)
        same += alone == carried
        wrong += [
            f"{held}: {a} alone, {b} in {place}"
            for a, b in zip(alone, carried, strict=True)
            if a != b and (b.startswith("kv_") or b in {"harmless", "nothing"})
        ]
    assert not wrong, "\n".join(wrong)
    assert same > LEAST[kind]


def _one(docs: list[Any]) -> Any:
    """What one file of JSON holds: the document, or a list of the objects."""
    return docs[0] if len(docs) == 1 else {"apiVersion": "v1", "kind": "List", "items": docs}


STYLES: dict[str, Callable[[list[Any]], tuple[str, str]]] = {
    "blocks": lambda docs: ("a.yaml", yaml.safe_dump_all(docs, sort_keys=False, width=10**6)),
    "one line": lambda docs: (
        "a.yaml",
        yaml.safe_dump_all(docs, sort_keys=False, width=10**6, default_flow_style=True),
    ),
    "JSON": lambda docs: ("a.json", json.dumps(_one(docs), indent=2, default=str)),
    "JSON in one line": lambda docs: ("a.json", json.dumps(_one(docs), default=str)),
}


@pytest.mark.parametrize("style", slow_but(["JSON"], STYLES))
def test_data_means_the_same_in_whatever_style_it_is_written(style: str) -> None:
    """What comments say is lost, and is asked for then; no role comes out on another side."""
    same, wrong = 0, []
    for held, (name, data) in verdicts.inputs().items():
        if not held.startswith("corpus/") or not name.endswith((".yaml", ".yml", ".json")) or b"{{" in data:
            continue
        try:
            docs = list(yaml.safe_load_all(data))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        written, text = STYLES[style](docs)
        before = _told(name.rpartition("/")[2], data.decode())
        after = _told(written, text)
        if len(before) != len(after):
            continue  # a comment's word is gone, a merged key is written out
        same += before == after
        wrong += [
            f"{held}: {a}, then {b}" for a, b in zip(before, after, strict=True) if a != b and b.startswith("kv_")
        ]
    assert not wrong, "\n".join(wrong)
    assert same > 60
