"""The same evidence, printed in every carrier: a value that is named or spoken of for each side, and a server that is told.

A printer gives the text of one file that holds two NIXL configs, the first of prefill and the second of decode. None means
that the carrier has no such thing; ``matrix.toml`` says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
ESCAPED = NIXL.replace('"', '\\"')
SIDES = ("prefill", "decode")


class Carrier:
    """How one language sets a value, speaks a comment, asks for a role, and starts a server with words."""

    def __init__(
        self,
        file: str,
        setting: Callable[[str], str],
        comment: str | None,
        *,
        whole: str = "{}",
        server: Callable[[list[str]], str] | None = None,
        branch: Callable[[str, str], str] | None = None,
        choice: Callable[[str, str], str] | None = None,
        tests: tuple[str, str] = ('role == "prefill"', "is_prefill"),
        behind: bool = True,
        upper: bool = False,
    ) -> None:
        self.file = file
        self.setting = setting  # name -> a line that gives it the config
        self.comment = comment  # with {} for the words
        self.whole = whole  # what stands round the lines
        self.server = server  # words -> the lines that start a server with the config as last word
        self.branch = branch  # condition's side, lines -> the lines below a condition that the role is that side
        self.choice = choice  # condition, what holds the two configs -> both, below a condition and its else
        self.tests = tests  # conditions: that a role is prefill, and a truth of that name
        self.behind = behind  # a comment may stand at the end of a line
        self.upper = upper

    def name(self, words: str) -> str:
        return words.upper() if self.upper else words

    def print(self, evidence: str) -> str | None:
        if evidence in {"else of a role", "else of a truth"}:
            if self.choice is None:
                return None
            said = self.choice(self.tests[evidence.endswith("truth")], self.setting(self.name("kv")))
            return self.whole.replace("{}", said, 1) + "\n"
        parts = [self._one(evidence, side, n) for n, side in enumerate(SIDES)]
        if None in parts:
            return None
        return self.whole.replace("{}", "\n".join(p for p in parts if p is not None), 1) + "\n"

    def _one(self, evidence: str, side: str, n: int) -> str | None:
        plain = self.setting(self.name(f"kv_{'ab'[n]}"))
        match evidence:
            case "name":
                return self.setting(self.name(f"kv_{side}"))
            case "letter":
                return self.setting(self.name(f"kv_{side[0]}"))
            case "disagg":
                return self.setting(self.name(f"disagg_{side}"))
            case "above":
                said = f"{side.capitalize()} worker (start it first)"
                return f"{self.comment.format(said)}\n{plain}" if self.comment else None
            case "behind":
                return f"{plain} {self.comment.format(side)}" if self.comment and self.behind else None
            case "condition":
                return self.branch(side, plain) if self.branch else None
            case "mode flag":
                return self.server(["--disaggregation-mode", side]) if self.server else None
            case "switch":
                return self.server([f"--is-{side}-worker"]) if self.server else None
            case "log file":
                return self.server(["--log-file", f"/tmp/{side}.log"]) if self.server else None
            case "possessive":
                said = f"the {side}'s, TP=2"
                return f"{plain} {self.comment.format(said)}" if self.comment and self.behind else None
            case "said of both":
                said = "Shared by prefill and decode"
                named = self.setting(self.name(side))
                return f"{self.comment.format(said)}\n{named}" if self.comment else None
            case "role key":
                return self.setting(self.name(("after_cmd", "prefill_role")[n]))
            case "trade":
                return self.setting(self.name(("consumer", "prefill")[n]))
            case "model":
                return self.server(["--served-model-name", side]) if self.server else None
            case "title of the other":
                other = SIDES[1 - n]
                if self.server is None or self.comment is None:
                    return None
                return f"{self.comment.format(f'Start {other}')}\n{self.server(['--name', side])}"
            case "non-name":
                return self.setting(self.name(f"non_{side}"))
            case "denied":
                said = f"Not the {side} worker"
                return f"{self.comment.format(said)}\n{plain}" if self.comment else None
        raise AssertionError(evidence)


EVIDENCE = (
    "name", "letter", "disagg", "above", "behind", "possessive", "said of both", "condition", "mode flag", "switch", "log file",
    "model", "title of the other", "role key", "trade", "non-name", "denied", "else of a role", "else of a truth",
)  # fmt: skip


def _indent(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.split("\n"))


def _listed(words: list[str]) -> str:
    return ", ".join(json.dumps(w) for w in [*words, "--kv-transfer-config"])


def _command(words: list[str]) -> str:
    return f"vllm serve m {' '.join(words)} --kv-transfer-config '{NIXL}'"


_count = iter(range(10**6))


def _n() -> int:
    return next(_count)


def _braced(condition: str, line: str) -> str:
    return f"if ({condition}) {{\n  {line}\n}} else {{\n  {line}\n}}"


def _javascript(file: str, setting: Callable[[str], str]) -> Carrier:
    return Carrier(
        file, setting, "// {}",
        server=lambda w: f"run([{_listed(['vllm', 'serve', 'm', *w])}, '{NIXL}']);",
        branch=lambda s, x: f'if (role === "{s}") {{\n{_indent(x, "  ")}\n}}',
        choice=_braced, tests=('role === "prefill"', "isPrefill"),
    )  # fmt: skip


CARRIERS = {
    "shell": Carrier(
        "a.sh", lambda n: f"{n}='{NIXL}'", "# {}", upper=True, server=_command,
        branch=lambda s, x: f'if [ "$ROLE" = {s} ]; then\n{_indent(x, "  ")}\nfi',
        choice=lambda c, x: f"if [ {c} ]; then\n  {x}\nelse\n  {x}\nfi",
        tests=('"$ROLE" = prefill', '"$IS_PREFILL" = true'),
    ),
    "python": Carrier(
        "a.py", lambda n: f"{n} = '{NIXL}'", "# {}",
        server=lambda w: f"subprocess.run([{_listed(['vllm', 'serve', 'm', *w])}, '{NIXL}'])",
        branch=lambda s, x: f'if role == "{s}":\n{_indent(x, "    ")}',
        choice=lambda c, x: f"if {c}:\n    {x}\nelse:\n    {x}",
    ),
    "go": Carrier(
        "a.go", lambda n: f"\t{n} := `{NIXL}`", "\t// {}", whole="package a\n\nfunc a() {\n{}\n}",
        server=lambda w: f"\trun([]string{{{_listed(['vllm', 'serve', 'm', *w])}, `{NIXL}`}})",
        branch=lambda s, x: f'\tif role == "{s}" {{\n{_indent(x, "    ")}\n\t}}',
        choice=lambda c, x: f"\tif {c} {{\n\t{x}\n\t}} else {{\n\t{x}\n\t}}",
    ),
    "rust": Carrier(
        "a.rs", lambda n: f'    let {n} = r#"{NIXL}"#;', "    // {}", whole="fn a() {\n{}\n}",
        server=lambda w: f'    run(vec![{_listed(["vllm", "serve", "m", *w])}, r#"{NIXL}"#]);',
        branch=lambda s, x: f'    if role == "{s}" {{\n{_indent(x, "    ")}\n    }}',
        choice=lambda c, x: f"    if {c} {{\n    {x}\n    }} else {{\n    {x}\n    }}",
    ),
    "yaml": Carrier(
        "a.yaml", lambda n: f"{n}: '{NIXL}'", "# {}",
        server=lambda w: f"- args: [{_listed(w)}, '{NIXL}']",
        branch=lambda s, x: f"- when: role == '{s}'\n  set_fact:\n{_indent(x, '    ')}",
    ),
    "toml": Carrier(
        "a.toml", lambda n: f"{n} = '{NIXL}'", "# {}",
        server=lambda w: f"[[server]]\nargs = [{_listed(w)}, '{NIXL}']",
    ),
    "json5": Carrier(
        "a.json5", lambda n: f'  "{n}": {NIXL},', "  // {}", whole="{\n{}\n}",
        server=lambda w: f'  "s{_n()}": {{"args": [{_listed(w)}, "{ESCAPED}"]}},',
    ),
    "make": Carrier(
        "Makefile", lambda n: f"{n} = '{NIXL}'", "# {}", upper=True,
        server=lambda w: f"serve{_n()}:\n\t{_command(w)}",
        branch=lambda s, x: f"ifeq ($(ROLE),{s})\n{x}\nendif",
        choice=lambda c, x: f"ifeq ({c})\n{x}\nelse\n{x}\nendif",
        tests=("$(ROLE),prefill", "$(IS_PREFILL),true"),
    ),
    "just": Carrier(
        "Justfile", lambda n: f"{n} := '{NIXL}'", "# {}", server=lambda w: f"serve{_n()}:\n    {_command(w)}",
    ),
    "docker": Carrier(
        "Dockerfile", lambda n: f"ENV {n}='{NIXL}'", "# {}", whole="FROM vllm\n{}", behind=False, upper=True,
        server=lambda w: f"RUN {_command(w)}",
    ),
    "env": Carrier("a.env", lambda n: f"{n}='{NIXL}'", "# {}", upper=True),
    "jinja": Carrier(
        "a.yaml.j2", lambda n: f"{{% set {n} = '{NIXL}' %}}", "{{# {} #}}",
        server=lambda w: f"- args: [{_listed(w)}, '{NIXL}']",
        branch=lambda s, x: f"{{% if role == '{s}' %}}\n{x}\n{{% endif %}}",
        choice=lambda c, x: f"{{% if {c} %}}\n{x}\n{{% else %}}\n{x}\n{{% endif %}}",
    ),
    "helm": Carrier(
        "templates/a.yaml", lambda n: f"{{{{- ${n} := `{NIXL}` }}}}", "{{{{/* {} */}}}}",
        server=lambda w: f"- args: [{_listed(w)}, '{NIXL}']",
        branch=lambda s, x: f'{{{{- if eq .Values.role "{s}" }}}}\n{x}\n{{{{- end }}}}',
        choice=lambda c, x: f"{{{{- if {c} }}}}\n{x}\n{{{{- else }}}}\n{x}\n{{{{- end }}}}",
        tests=('eq .Values.role "prefill"', ".Values.isPrefill"),
    ),
    "ini": Carrier("a.ini", lambda n: f"{n} = '{NIXL}'", "; {}", whole="[kv]\n{}"),
    "systemd": Carrier(
        "a.service", lambda n: f"Environment='{n}={NIXL}'", "# {}", whole="[Service]\n{}", behind=False, upper=True,
        server=lambda w: f"ExecStart={_command(w)}",
    ),
    "javascript": _javascript("a.js", lambda n: f"const {n} = '{NIXL}';"),
    "typescript": _javascript("a.ts", lambda n: f"const {n}: string = '{NIXL}';"),
    "powershell": Carrier(
        "a.ps1", lambda n: f"${n} = '{NIXL}'", "# {}",
        server=_command,
        branch=lambda s, x: f'if ($role -eq "{s}") {{\n{_indent(x, "  ")}\n}}',
        choice=_braced,
        tests=('$role -eq "prefill"', "$isPrefill"),
    ),
    "hcl": Carrier(
        "a.tf", lambda n: f'  {n} = "{ESCAPED}"', "  # {}", whole="locals {\n{}\n}",
        server=lambda w: f'  s{_n()} = {{ args = [{_listed(w)}, "{ESCAPED}"] }}',
        choice=lambda c, x: f'{x.split("=")[0]}= {c} ? "{ESCAPED}" : "{ESCAPED}"',
        tests=('var.role == "prefill"', "var.is_prefill"),
    ),
}  # fmt: skip
