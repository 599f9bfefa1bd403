"""No output of migrate shows a value that may be a secret: not of variables, not of Secrets, not of live objects."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from kvroles.migrate import cli
from kvroles.migrate.redact import masked

ROLE = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
IN_JSON = ROLE.replace('"', '\\"')
PLANTED = "planted"  # every secret below has it in it, and nothing else has
FILES = {
    "deployment.yaml": f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: vllm-prefill
spec:
  template:
    spec:
      containers:
        - name: vllm
          env:
            - name: HF_TOKEN
              value: hf_plantedA1b2C3
            - {{name: LICENSE, value: planted-two}}
            - name: DATABASE
              value: postgres://user:planted@db/x
          args: ["--kv-transfer-config", '{ROLE}', "--api-key", "planted-three"]
          # a note: the password is planted-four
""",
    "pod.json": json.dumps(
        {
            "kind": "Pod",
            "metadata": {"name": "decode-0", "labels": {"role": "decode", "app": "prefill-decode"}},
            "env": [{"name": "HF_TOKEN", "value": "hf_plantedA1"}, {"name": "X", "value": "planted-five"}],
            "environment": {"plain": "planted-six"},
            "args": ["--disaggregation-mode", "decode", "--kv-transfer-config", ROLE, "--hf-token", "planted-seven"],
        }
    ),
    "secret.yaml": f"""\
apiVersion: v1
kind: Secret
metadata:
  name: vllm-decode
stringData:
  other: planted-eight
  run.sh: |
    # Decode worker of planted-nine
    export ANY=planted-ten
    vllm serve m --host planted-eleven --kv-transfer-config '{ROLE}' # planted-twelve
    curl -H 'Authorization: Bearer planted-thirteen'
data:
  token: planted+base64==
""",
    "live.yaml": f"""\
apiVersion: v1
kind: Pod
metadata:
  name: vllm-prefill
  uid: 1-2-3
  annotations:
    note: planted-annotation
spec:
  containers:
    - env: [{{name: A, value: planted}}]
      command: [sh, -c, "export B=planted; vllm serve --kv-transfer-config '{IN_JSON}' --seed planted"]
""",
    "run.sh": f"""\
export HF_TOKEN=planted
# prefill, with token: planted
CUDA_VISIBLE_DEVICES=0 LICENCE=planted vllm serve m --api-key planted \\
  --kv-transfer-config '{ROLE}' # prefill, Bearer planted1
curl https://planted:planted@host/
# decode
docker run -e HF_TOKEN=planted -e SOME_KEY="planted key" vllm --kv-transfer-config '{ROLE}'
openssl <<END
-----BEGIN PRIVATE KEY-----
planted
-----END PRIVATE KEY-----
END
""",
    "values.env": f"PREFILL_KV_CONFIG='{ROLE}'\nPREFILL_SECRET=planted\nANYTHING=planted\n",
    "values.yaml": f"prefill:\n  password: |\n    planted\n  kv: '{ROLE}'\n  apiKey: planted\ndecode:\n  kv: '{ROLE}'\n"
    "  credentials:\n    - planted\n",
    "compose.yaml": f"services:\n  prefill:\n    environment:\n      ANY: planted\n    command: --kv-transfer-config '{ROLE}'\n"
    "    secrets:\n      x: planted\n",
    "serve.py": f"import os\nos.environ['ANY_NAME'] = 'planted'\nprefill_config = '{ROLE}'\napi_key = 'planted'\n",
    "undecided.yaml": f'env:\n- {{"name": "KEY", "value": "planted"}}\nkv: \'{ROLE}\'\napi_key: planted\n',
    "Dockerfile": f"FROM x\nENV HF_TOKEN planted\nENV ANY=planted\n# decode\nCMD vllm serve --kv-transfer-config '{ROLE}'\n",
    "broken.json": f'{{"env": {{"HF_TOKEN": "planted"}}, "prefill": "{IN_JSON}", [[[',
}
FORMS = [
    (),
    ("-v",),
    ("--check",),
    ("--diff",),
    ("--json",),
    ("--sarif",),
    ("--github",),
    ("-o", "csv"),
    ("-o", "markdown"),
]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("repo").mkdir()
    for name, text in FILES.items():
        Path("repo", name).write_text(text)
    return Path("repo")


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.usefixtures("fleet")
def test_no_secret_is_in_any_output(capsys: pytest.CaptureFixture[str], form: tuple[str, ...]) -> None:
    code = cli.main([*form, "--html", "report.html", "--target-vllm", "0.33.0", "repo"])
    out, err = capsys.readouterr()
    assert code == (1 if form == ("--check",) else 0)
    page = Path("report.html").read_text()
    for where, text in (("output", out), ("error", err), ("page", page)):
        found = [line for line in text.splitlines() if PLANTED in line]
        assert not found, (where, found)
    assert "deployment.yaml" in page
    if form == ("-v",):
        assert out.count("KVR101") + out.count("KVR102") >= 8, "the files are read, and not merely refused"


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_secret_of_standard_input_is_shown(
    fleet: Path, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (fleet / name).open() as f:
        monkeypatch.setattr("sys.stdin", f)
        cli.main(["-v", "-"])
    assert PLANTED not in "".join(capsys.readouterr())


def test_a_role_is_rewritten_whatever_stands_beside_it(fleet: Path) -> None:
    before = (fleet / "secret.yaml").read_text()
    assert cli.main(["--write", "repo"]) == 0
    assert (fleet / "secret.yaml").read_text() == before.replace("kv_both", "kv_consumer")


@pytest.mark.parametrize("name", ["deployment.yaml", "values.yaml", "serve.py", "compose.yaml", "Dockerfile"])
def test_a_patch_without_the_secret_beside_it_is_one_that_git_takes(
    fleet: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (fleet / name).read_text().replace(', "--api-key", "planted-three"', "")
    (fleet / name).write_text(text)
    cli.main(["--diff", f"repo/{name}"])
    patch = capsys.readouterr().out
    subprocess.run(["git", "init", "-q"], check=True)
    bare = ["--unidiff-zero"] if "--unidiff-zero" in patch else []
    subprocess.run(["git", "apply", *bare, "-"], input=patch.encode(), check=True)
    after = (fleet / name).read_text()
    assert after != text
    assert after.replace("kv_producer", "kv_both").replace("kv_consumer", "kv_both") == text


def test_a_patch_that_had_to_be_masked_says_so_and_git_refuses_it(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["--diff", "repo/deployment.yaml"])
    patch = capsys.readouterr().out
    assert "values in the lines below are masked, so that git cannot apply this" in patch
    subprocess.run(["git", "init", "-q"], check=True)
    assert subprocess.run(["git", "apply", "-"], input=patch.encode(), capture_output=True).returncode == 1
    assert (fleet / "deployment.yaml").read_text() == FILES["deployment.yaml"]


@pytest.mark.parametrize(
    "line",
    [
        "# Start prefill worker, see README",
        "NOTE: remove --enforce-eager",
        "CUDA_VISIBLE_DEVICES=0,1 VLLM_NIXL_SIDE_CHANNEL_PORT=5600 ROLE=prefill vllm serve Qwen/Qwen3-0.6B --port 8100",
        f"vllm serve m --max-num-batched-tokens 8192 --tokenizer x --kv-transfer-config '{ROLE}'",
        "image: registry.example/vllm@sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        f"PREFILL_KV='{ROLE}'",
        'if os.environ["ROLE"] == "prefill":',
        "  labels: {app: llm, llm-d.ai/role: prefill}",
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(line: str) -> None:
    assert masked(line, prose=True) == line
