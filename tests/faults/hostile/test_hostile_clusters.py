"""A cluster whose objects and Helm releases anybody wrote: none of them ends the report of the others, and kubectl is the machine's own."""

from __future__ import annotations

import base64
import gzip
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kvroles.migrate.cluster import command, kubectl

pytestmark = pytest.mark.slow

ROLE = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
Json = dict[str, Any]
Asked = Callable[..., tuple[int, str, str]]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Asked:
    """``asked(kind=[objects])``: exit code, standard output and standard error of the plugin beside a kubectl that lists them.

    ``odd`` is a line of shell that comes first.
    """

    def run(*argv: str, odd: str = "", **kinds: list[Any]) -> tuple[int, str, str]:
        for kind, items in kinds.items():
            (tmp_path / kind).write_text(json.dumps({"items": items}))
        (tmp_path / "kinds").write_text("".join(f"{kind}\n" for kind in kinds))
        program = tmp_path / "bin/kubectl"
        program.parent.mkdir(exist_ok=True)
        at = shlex.quote(str(tmp_path))
        program.write_text(f'#!/bin/sh\n{odd}\n[ "$1" = get ] && exec cat {at}/"$2"\nexec cat {at}/kinds\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        code = command.main(["--check", *argv])
        return code, *capfd.readouterr()

    return run


def secret(release: object, **more: Any) -> Json:
    packed = base64.b64encode(gzip.compress(json.dumps(release).encode()))
    return {
        "type": "helm.sh/release.v1",
        "metadata": {"name": "r", "namespace": "n"},
        "data": {"release": base64.b64encode(packed).decode()},
        **more,
    }


GOOD = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good", "uid": "1"}, "data": {"a": ROLE}}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
MANIFESTS = {
    "a number of 5000 digits": f"data: {{a: {'9' * 5000}, b: kv_both}}\n",
    "a date that is none": "data: {a: 2001-99-99, b: kv_both}\n",
    "a date for a key": "data: {2001-01-01: kv_both}\n",
    "bytes for a key": 'data: {!!binary "aa==": kv_both}\n',
    "an alias of what it stands in": "data: &a {b: *a, c: kv_both}\n",
    "a list for a key": "data: {? [a] : kv_both}\n",
    "half a character": 'data: "\\ud800 kv_both"\n',
    "nesting": f"data: {'[' * 20_000}kv_both\n",
    "ten to the eighth by aliases": f"{BOMB}data: kv_both\n",
}


@pytest.mark.parametrize("manifest", MANIFESTS.values(), ids=MANIFESTS)
def test_no_helm_release_ends_the_report_of_the_cluster(asked: Asked, manifest: str) -> None:
    release = {"name": "r", "namespace": "n", "manifest": HEAD + manifest}
    code, out, err = asked("--json", secrets=[secret(release)], configmaps=[GOOD])
    assert (code, err) == (1, "")
    told = {f["object"]: f["code"] for f in json.loads(out)["findings"]}
    assert told.pop("ConfigMap/good") == "KVR110"
    assert list(told.values()) == ["KVR118"], out  # the release's


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_kind_of_which_an_api_sends_objects_without_end_fills_the_memory(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    """Whoever may register an API of a cluster answers for its kinds. What is said beside the answer is kept in part."""
    monkeypatch.setattr(kubectl, "_LARGEST", 1 << 20)
    bounded = "exec yes" if not stream else "yes | head -c 99000000 >&2; exit 1"
    code, out, err = asked("--json", odd=f'[ "$2" = floods ] && {{ {bounded}; }}', floods=[], configmaps=[GOOD])
    assert (code, err) == (1, "")
    told = {f["path"]: f for f in json.loads(out)["findings"]}
    assert told["floods"]["code"] == "KVR190"
    assert ("larger than 1 MiB" if not stream else "cannot be listed: y") in told["floods"]["message"]
    assert "KVR110" in [f["code"] for f in told.values()]


def test_an_api_that_drips_holds_the_report_of_the_others(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "_SECONDS", 0)
    code, out, err = asked(odd='[ "$1" = get ] || exec cat "$(dirname "$0")/../kinds"', configmaps=[GOOD])
    assert (code, out) == (4, "")
    assert "no whole answer within 0 seconds" in " ".join(err.split())


def test_a_password_of_a_proxy_in_kubectl_s_own_words_is_shown(asked: Asked) -> None:
    words = "proxyconnect tcp: dial http://me:s3cret@proxy:1/?token=s3cret: Authorization: Bearer s3cret"
    code, out, err = asked(odd=f"echo 'Unable to connect: {words}' >&2; exit 1", configmaps=[])
    assert (code, out) == (4, "")
    assert "Unable to connect: proxyconnect tcp" in " ".join(err.split())
    assert "s3cret" not in err
    code, out, err = asked(odd=f"[ \"$1\" = get ] && {{ echo '{words}' >&2; exit 1; }}", configmaps=[])
    assert code == 1
    assert "s3cret" not in out + err


SECRETS = {
    "labels": secret({}, metadata={"name": "r", "labels": ["a"]}),
    "no data": secret({}, data=["a"]),
    "no release": secret({}, data={"release": 5}),
    "no base64": secret({}, data={"release": "\u00e9"}),
    "a list": secret([]),
    "a chart that is a number": secret({"name": "r", "chart": 5}),
}


@pytest.mark.parametrize("one", SECRETS.values(), ids=SECRETS)
def test_a_secret_that_is_no_helm_release_ends_the_report(asked: Asked, one: Json) -> None:
    code, out, err = asked(secrets=[one], configmaps=[GOOD])
    assert (code, err) == (1, "")
    assert "ConfigMap/good" in out
    assert "of a Helm release; it cannot be read" in out


@pytest.mark.parametrize("packed", ["\u00e9", "%%%", 5, None, "a"])
def test_binary_data_that_is_none_does_not_end_the_report(asked: Asked, packed: object) -> None:
    odd = {**GOOD, "metadata": {"name": "odd", "uid": "2"}, "binaryData": {"x": packed}}
    code, out, err = asked(configmaps=[odd, GOOD])
    assert (code, err) == (1, "")
    assert "ConfigMap/odd" in out
    assert "ConfigMap/good" in out


def test_no_name_in_a_cluster_puts_anything_into_a_terminal(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evil = "x\x1b[2J\n::error::y\u202e\ud800"
    odd = {
        **GOOD,
        "kind": evil,
        "metadata": {"name": evil, "namespace": evil, "labels": {"argocd.argoproj.io/instance": evil}},
    }
    for form in ("text", "json", "sarif", "csv", "markdown", "github"):
        code, out, err = asked("-o", form, "--html", "page.html", configmaps=[odd])
        assert (code, err) == (1, ""), form
        for bad in ("\x1b", "\n::error::y", "\u202e"):
            assert bad not in out, form


@pytest.mark.parametrize("path", ["", ".", ":.:", "bin"])
def test_a_kubectl_of_the_current_folder_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], path: str
) -> None:
    for at in (tmp_path / "kubectl", tmp_path / "bin/kubectl"):
        at.parent.mkdir(exist_ok=True)
        at.write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path))}/canary\n")
        at.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert command.main([]) == 4
    assert "not on the search path" in capfd.readouterr().err
    assert not (tmp_path / "canary").exists()
