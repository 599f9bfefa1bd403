"""The Kubernetes examples of an image context start: vLLM's own command line takes their arguments and their environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kvworkshop.runtime.environments import Say, for_source, interpreter
from kvworkshop.runtime.trees import variables
from support.vllm_runs import patched

pytestmark = pytest.mark.behaviour
VENDOR = Path(__file__).parents[2] / "tools" / "vendor.py"
_SCRIPT = """
import json, os, sys
from vllm import envs
from vllm.entrypoints.cli.serve import ServeSubcommand
try:
    from vllm.utils.argparse_utils import FlexibleArgumentParser
except ImportError:
    from vllm.utils import FlexibleArgumentParser
command = ServeSubcommand()
for argv, names in json.loads(sys.argv[1]):
    parser = FlexibleArgumentParser()
    command.subparser_init(parser.add_subparsers(dest="subparser")).set_defaults(dispatch_function=command.cmd)
    args = parser.parse_args(argv)
    command.validate(args)
    config = args.kv_transfer_config
    role = config.get("kv_role") if isinstance(config, dict) else getattr(config, "kv_role", config)
    unknown = [n for n in names if n.startswith("VLLM_") and n not in envs.environment_variables]
    print("told", json.dumps([args.model_tag, role, args.headless, unknown]))
"""


def containers(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [c for one in node for c in containers(one)]
    if not isinstance(node, dict):
        return []
    own = node.get("containers") or []
    return [c for c in own if "args" in c] + [c for one in node.values() for c in containers(one)]


@pytest.mark.parametrize("release", ["0.22.1", "0.33.0"])
def test_vllms_own_parser_takes_every_container_of_the_examples(release: str, tmp_path: Path, say: Say) -> None:
    base = f"vllm/vllm-openai@sha256:{'0' * 64}"
    command = [
        sys.executable,
        VENDOR,
        "image",
        "--vllm-rev",
        release,
        "--base",
        base,
        "--output",
        tmp_path / "image",
        "-q",
    ]
    subprocess.run(command, check=True)
    python = interpreter(for_source(release), say)
    tree = patched(release, tmp_path / "vllm")
    asked = []
    for file in sorted((tmp_path / "image/kubernetes").iterdir()):
        for one in containers(list(yaml.safe_load_all(file.read_text()))):
            assert one["command"] == ["vllm", "serve"]
            argv = ["serve", *(a.replace("$(LWS_LEADER_ADDRESS)", "10.0.0.2") for a in one["args"])]
            asked.append((argv, [e["name"] for e in one.get("env", [])]))
    done = subprocess.run(
        [python.python, "-c", _SCRIPT, json.dumps(asked)], env=variables(python, tree, release), cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(x.removeprefix("told ")) for x in done.stdout.splitlines() if x.startswith("told ")]
    assert all(model == "meta-llama/Llama-3.1-8B-Instruct" and unknown == [] for model, _, _, unknown in told)
    assert sorted((role, headless) for _, role, headless, _ in told) == [
        ("kv_consumer", False), ("kv_consumer", False), ("kv_consumer", True),
        ("kv_producer", False), ("kv_producer", False), ("kv_producer", True),
    ]  # fmt: skip
