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
    "unit.service": '[Service]\nEnvironment=HF_TOKEN=planted\nEnvironment="A=planted" "DECODE=1"\n'
    f"# decode\nExecStart=vllm serve --kv-transfer-config '{ROLE}' --api-key=planted\n",
    "main.tf": 'variable "x" {}\nresource "kubernetes_secret" "s" {\n  data = {\n    any = "planted"\n  }\n}\n'
    '# prefill\nlocals {\n  env = { HF_TOKEN = "planted" }\n  prefill = jsonencode({ kv_connector = "NixlConnector", '
    'kv_role = "kv_both" })\n  password = "planted"\n}\n',
    "config.toml": f"[prefill]\nkv = '{ROLE}'\n[prefill.env]\nANY = \"planted\"\nother_password = 'planted'\n",
    "main.go": 'package a\n\nfunc prefill() {\n\tos.Setenv("ANY_NAME", "planted")\n'
    f'\trun(`{ROLE}`)\n\tos.Setenv("HF_TOKEN", "planted")\n}}\n',
    "serve.ps1": f"$env:HF_TOKEN = 'planted'\n# prefill\nvllm serve m --kv-transfer-config '{ROLE}'\n$env:ANY='planted'\n",
    "book.ipynb": json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "outputs": [],
                    "source": [
                        "import os\n",
                        "os.environ['ANY'] = 'planted'\n",
                        f"prefill = '{ROLE}'\n",
                        "os.environ.setdefault('X_KEY', 'planted')\n",
                    ],
                }
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    ),
    "Makefile": f"export ANY := planted\nHF_TOKEN ?= planted\nprefill:\n\tA=planted vllm serve --kv-transfer-config '{ROLE}'\n",
    "echo.sh": f"echo 'Starting prefill with password planted'\nvllm serve --kv-transfer-config '{ROLE}'\n"
    f"# Decode, key: planted\nvllm serve --kv-transfer-config '{ROLE}'\n",
    "chart.yaml.j2": f"prefill:\n  env:\n    A: planted\n  args: ['{ROLE}', --hf-token, planted, --seed, '{{{{ x }}}}']\n",
    "sealed.json": json.dumps(
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [
                {
                    "kind": "Secret",
                    "apiVersion": "v1",
                    "data": {"a": "planted"},
                    "stringData": {"run": f"# prefill\\nvllm --kv-transfer-config '{ROLE}' planted"},
                }
            ],
        }
    ),
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
        assert out.count("KVR101") + out.count("KVR102") >= 18, "the files are read, and not merely refused"


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


ONE = "plantedA1b2C3d4E5f6G7h8"
NAMED_BY_NOTHING = [
    f"curl -u admin:{ONE} http://h/x",
    f"curl -sSu 'admin:{ONE}' http://h/x",
    f'curl --user "bob:{ONE}" http://h/x',
    f"curl --proxy-user=bob:{ONE} http://h/x",
    "curl -u admin:planted http://h/x",
    "sshpass -p planted ssh h",
    "sshpass -pplanted ssh h",
    "sshpass -v -p 'planted two' ssh h",
    "mysql -u root -pplanted db",
    "mysqldump -h db --opt -p'planted' db",
    "redis-cli -h r -a planted ping",
    "redis-cli --pass planted ping",
    "mongosh -u a -p planted db",
    "docker login -u a -p planted registry.example",
    "helm registry login -u a -p planted registry.example",
    "ldapsearch -D cn=a -w planted",
    "sqlcmd -U sa -P planted",
    "7z x -pplanted a.7z",
    "unzip -P planted a.zip",
    "openssl enc -pass pass:planted -in a",
    "htpasswd -bc file bob planted",
    "db_pass: planted",
    "dbpass: planted",
    "DB_PASS=planted",
    '{"pass":"planted"}',
    '{\\"pass\\": \\"planted\\"}',
    "db_pwd = 'planted'",
    "curl -X POST https://hooks.slack.com/services/T0/B0/planted",
    "curl https://discord.com/api/webhooks/1/planted",
    "curl https://example.webhook.office.com/webhookb2/planted",
    "azcopy 'https://a.blob.core.windows.net/c?sv=1&sig=planted%3D'",
    "curl 'https://b.s3.amazonaws.com/m?X-Amz-Signature=planted'",
    "AccountName=a;AccountKey=planted==;EndpointSuffix=x",
    f"npm_{ONE}",
    f"echo SG.{ONE}.{ONE}",
    f"echo dckr_pat_{ONE}",
    f"echo pypi-{ONE}",
    f"echo hvs.{ONE}",
    f"echo GOCSPX-{ONE}",
    f"echo ya29.{ONE}",
    f"echo sk_live_{ONE}",
    f"echo sk-{ONE}",
    f"echo ghp_{ONE}",
    f"echo github_pat_{ONE}",
    f"echo glpat-{ONE}",
    f"echo xoxb-{ONE}",
    f"echo r8_{ONE}",
    f"echo gsk_{ONE}",
    "curl -H 'Authorization: Token planted' h",
    "curl -H 'Authorization: ApiKey planted' h",
    "curl -H 'X-Auth: planted' h",
    '{"auths": {"r": {"auth": "planted"}}}',
    "git clone https://bob:planted@host/x",
    'x = "-----BEGIN PRIVATE KEY-----\\nplanted\\n-----END PRIVATE KEY-----"',
]


@pytest.mark.parametrize("line", NAMED_BY_NOTHING)
def test_a_secret_that_only_its_command_or_its_shape_tells_is_masked(line: str) -> None:
    shown = masked(f"{line} && vllm serve m --port 8100 --kv-transfer-config '{ROLE}'")
    assert PLANTED not in shown
    assert shown.endswith(f"vllm serve m --port 8100 --kv-transfer-config '{ROLE}'")


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
        "docker run -u 1000:1000 -p 8100:8100 vllm",
        "docker run --user $(id -u):$(id -g) -p 8100 vllm",
        "curl -u $USER:$PASS http://h/x",
        "mysql -u root -p db",
        "ssh -p 8100 host",
        "ls -a /srv && grep -a prefill log",
        "docker login registry && docker run -p 8100:8100 vllm",
        "redis-cli -h r ping; tar -a -cf x.tar y",
        "npm_config_registry=x npm_lifecycle_event=y",
        "# second pass: decode",
        "# a first pass: the warm up",
        "bypass: true",
        "proxy_pass http://decode;",
        "model: risk-model-llama-3-70b-instruct",
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(line: str) -> None:
    assert masked(line, prose=True) == line


def test_a_long_line_of_what_looks_like_the_start_of_a_secret_is_read_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pieces = ["a" * 9, "token", 'A=\\"', "\\\\", "env={x}", "sk-", "eyJ", "x/", "Ab1", "://", "-token ", "key="]
    for n, piece in enumerate(pieces):
        Path(f"{n}.sh").write_text(
            f"# prefill\nvllm serve m --kv-transfer-config '{ROLE}' # {piece * (6_000 // len(piece))}\n"
        )
    cli.main(["-q", "--html", "report.html", "."])
    assert f"{len(pieces)} roles certain in {len(pieces)} files" in capsys.readouterr().out


def test_of_many_roles_in_one_line_each_is_shown_by_its_own_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    many = [
        {"name": f"prefill-{n}", "env": {"A": "planted"}, "args": ["--kv-transfer-config", ROLE]} for n in range(30)
    ]
    Path("a.json").write_text(json.dumps(many))
    cli.main(["--sarif", "a.json"])
    results = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert len(results) == 30
    for n, result in enumerate(results):
        shown = result["locations"][0]["physicalLocation"]["region"]["snippet"]["text"]
        assert f"prefill-{n}" in shown or f"prefill-{n + 1}" in shown
        assert "planted" not in shown
