"""A file that only its name, or what is said in it, puts on one side, and the files beside it that hand it to the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from kvroles.migrate import cli, run
from kvroles.migrate.beside import defined
from kvroles.migrate.settings import Options, Settings

NIXL = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
ENV = f"KV='{NIXL}'\n"
ARGS = f"vllm:\n  args: ['--kv-transfer-config', '{NIXL}']\n"
SERVE = f"vllm serve m --kv-transfer-config '{NIXL}'\n"

REFUSED = {
    "env_file of the other service": {
        "prefill.env": ENV,
        "compose.yaml": "services:\n  decode:\n    env_file: [common.env, prefill.env]\n",
    },
    "env_file of both services": {
        "prefill.env": ENV,
        "compose.yaml": "services:\n  prefill:\n    env_file: ./prefill.env\n  decode:\n    env_file: ./prefill.env\n",
    },
    "sourced by the other side's script": {
        "prefill.env": ENV,
        "run-decode.sh": 'set -a\nsource ./prefill.env\nvllm serve m --port 8200 --kv-transfer-config "$KV"\n',
    },
    "sourced by a script of both": {
        "prefill.env": ENV,
        "run.sh": '. "$(dirname "$0")/prefill.env"\n# Start the decode server\nvllm serve m --port 8200 --kv-transfer-config "$KV"\n'
        'start_decode() {\n  . ./prefill.env\n  vllm serve m --kv-transfer-config "$KV"\n}\nstart_decode\n',
    },
    "--env-file of the other container": {
        "prefill.env": ENV,
        "up.sh": "docker run -d --name decode --env-file prefill.env vllm/vllm-openai\n",
    },
    "values of the other release": {
        "prefill-values.yaml": ARGS,
        "install.sh": "helm install decode ./chart -f common.yaml -f prefill-values.yaml\n",
    },
    "values in a Makefile": {
        "values-prefill.yaml": ARGS,
        "Makefile": "decode:\n\thelm upgrade --install llm ./chart -f values-prefill.yaml\n",
    },
    "a generator of the other side's ConfigMap": {
        "prefill.json": NIXL + "\n",
        "kustomization.yaml": "configMapGenerator:\n  - name: decode-kv\n    files: [kv.json=prefill.json]\n",
    },
    "an overlay one folder down": {
        "prefill.yaml": ARGS,
        "overlays-decode/kustomization.yaml": "resources:\n  - ../prefill.yaml\n",
    },
    "an overlay beside the base": {
        "deploy/prefill/kustomization.yaml": "resources: [server.yaml]\n",
        "deploy/prefill/server.yaml": ARGS,
        "deploy/decode/kustomization.yaml": "resources: [../prefill]\nnameSuffix: -decode\n",
    },
    "a compose file one folder up": {
        "conf/prefill.env": ENV,
        "docker-compose.yml": "services:\n  decode:\n    env_file: conf/prefill.env\n",
    },
    "Files.Get in a chart": {
        "chart/files/prefill.json": NIXL + "\n",
        "chart/templates/decode.yaml": 'kind: ConfigMap\nmetadata:\n  name: decode-kv\ndata:\n  kv.json: {{ .Files.Get "files/prefill.json" | quote }}\n',
    },
    "EnvironmentFile of the other unit": {
        "prefill.env": ENV,
        "vllm-decode.service": "[Service]\nEnvironmentFile=/etc/vllm/prefill.env\nExecStart=/usr/bin/vllm serve m\n",
    },
    "a launcher in Python": {
        "prefill.yaml": ARGS,
        "launch.py": 'import subprocess\n\ndef start_decode():\n    subprocess.run(["vllm", "serve", "m", "--config", "prefill.yaml"])\n',
    },
    "Hydra's defaults, in a list": {"prefill.yaml": ARGS, "decode.yaml": "defaults: [base, prefill]\nport: 8200\n"},
    "Hydra's defaults, a line each": {"prefill.yaml": ARGS, "decode.yaml": "defaults:\n  - base\n  - prefill\nport: 8200\n"},
    "told the other side when started": {
        "start_prefill.sh": SERVE,
        "all.sh": "ROLE=decode ./start_prefill.sh --port 8200\n",
    },
    "said in a comment of its own only": {
        "kv.env": f"# prefill settings\n{ENV}",
        "compose.yaml": "services:\n  decode:\n    env_file: kv.env\n",
    },
}  # fmt: skip
KEPT = {
    "each its own": {
        "prefill.env": ENV,
        "decode.env": ENV,
        "compose.yaml": "services:\n  prefill:\n    env_file: prefill.env\n  decode:\n    env_file: decode.env\n",
    },
    "another folder's file of that name": {
        "disagg/a/prefill.env": ENV,
        "disagg/a/compose.yaml": "services:\n  decode:\n    env_file: ../b/prefill.env\n",
    },
    "a side that Hydra's defaults do not take over": {
        "prefill.yaml": ARGS,
        "decode.yaml": "defaults: [base]\npeer: prefill\n",
    },
    "a script that only starts it": {
        "start_prefill.sh": SERVE,
        "start_decode.sh": "./start_prefill.sh &\nvllm serve m --port 8200\n",
    },
    "named in a comment": {
        "prefill.env": ENV,
        "run-decode.sh": "# unlike prefill.env, this side reads decode.env\n. ./decode.env\nvllm serve m\n",
    },
    "both at once": {
        "prefill.yaml": ARGS,
        "decode-all.sh": "kubectl apply -f prefill.yaml -f decode.yaml\n",
    },
    "said by more than the file's name": {
        "prefill.yaml": f"kind: Deployment\nmetadata:\n  name: prefill\nspec:\n  args: ['--kv-transfer-config', '{NIXL}']\n",
        "decode.sh": "kubectl apply -f prefill.yaml\n",
    },
}  # fmt: skip


def _tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _codes(root: Path) -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = str(path.relative_to(root))
        if result := run.of_bytes(name, name, path.read_bytes(), Options(Settings())):
            out[name] = {f.code for f in result.findings}
    return out


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_another_hands_to_the_other_side_is_refused(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _tree(tmp_path, files)
    codes = _codes(tmp_path)
    name = next(n for n, text in files.items() if "kv_both" in text)
    assert codes == {name: codes[name]}
    assert codes[name] <= {"KVR111", "KVR113"}
    assert cli.main(["--write", "."]) == 0
    user = next(n for n in files if n != name and n in capsys.readouterr().out) if len(files) == 2 else ""
    assert user or len(files) != 2, "the report names the file that does so"
    assert (tmp_path / name).read_text() == files[name]


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_no_other_hands_on_is_of_the_side_in_its_name(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    alone = {name: text for name, text in files.items() if "kv_both" in text}
    _tree(
        tmp_path, {name.replace("prefill", "decode"): "" for name in alone} | alone
    )  # and a twin that hands nothing on
    assert set().union(*_codes(tmp_path).values()) == {"KVR101"}


@pytest.mark.parametrize("files", REFUSED.values(), ids=REFUSED.keys())
def test_a_file_without_a_twin_is_not_written_for_another_side(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _tree(tmp_path, {name: text for name, text in files.items() if "kv_both" in text})
    assert set().union(*_codes(tmp_path).values()) <= {"KVR112", "KVR110", "KVR101"}


@pytest.mark.parametrize("files", KEPT.values(), ids=KEPT.keys())
def test_a_file_that_no_other_hands_over_is_written_and_a_second_run_changes_nothing(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _tree(tmp_path, files)
    assert set().union(*_codes(tmp_path).values()) <= {"KVR101", "KVR102"}
    assert cli.main(["--write", "-q", "."]) == 0
    for name, text in files.items():
        role = "kv_producer" if "prefill" in name else "kv_consumer"
        assert (tmp_path / name).read_text() == text.replace("kv_both", role)
    assert cli.main(["--check", "-q", "."]) == 0


def test_what_has_been_rewritten_beside_it_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer must not depend on whether the file beside it was written in this run or in one before."""
    monkeypatch.chdir(tmp_path)
    script = f"# Start the decode server\n. ./prefill.env\nvllm serve m --port 8200 --kv-transfer-config '{NIXL}'\n"
    _tree(tmp_path, {"prefill.env": ENV, "run.sh": script})
    before = _codes(tmp_path)["prefill.env"]
    assert cli.main(["--write", "-q", "run.sh"]) == 0
    assert "kv_consumer" in (tmp_path / "run.sh").read_text()
    assert _codes(tmp_path)["prefill.env"] == before == {"KVR111"}


def test_links_beside_it_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _tree(tmp_path, {"outside/decode.sh": ". ./prefill.env\n", "here/prefill.env": ENV})
    (tmp_path / "here/decode.sh").symlink_to(tmp_path / "outside/decode.sh")
    (tmp_path / "here/loop.yaml").symlink_to("loop.yaml")
    assert _codes(tmp_path / "here" / "..")["here/prefill.env"] == {"KVR101"}


def test_a_file_is_read_for_a_named_template_once_and_only_if_it_includes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template's name may be a word of every file of its chart."""
    read: list[str] = []
    used = defined._used
    monkeypatch.setattr(defined, "_used", lambda other, *a: (read.append(Path(other.path).name), used(other, *a))[1])
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    roles = "".join(f"# the prefill instance\na{n}: '{NIXL}'\n" for n in range(4))
    own = chart / "templates/a.tpl"
    own.write_text(f'{{{{ define "kv" }}}}\n{roles}{{{{ end }}}}\n')
    (chart / "templates/takes.yaml").write_text('x: {{ include "kv" . }}\n')
    for n in range(5):
        (chart / f"templates/other-{n}.yaml").write_text("kv: 1  # the kv of a server\n")
    result = run.of_bytes(str(own), "chart/templates/a.tpl", own.read_bytes(), Options(Settings()))
    assert result is not None
    assert [f.role for f in result.findings] == ["kv_producer"] * 4
    assert read == ["a.tpl", "takes.yaml"]
