"""Two files of this package's own, with what files with a role have most often: a page with prose, a script, a manifest, a
program and a table, and a program whose roles are those of other connectors than NIXL's.

They are read before the processes that read a user's files are forked. To compile the regular expressions which most files
take costs as much as to read a dozen files, and what is compiled before a process is forked it need not compile.
"""

from __future__ import annotations

PAGE = r"""# Disaggregated prefill

Start one prefill worker and one decode worker. The `NixlConnector` of each is told its `kv_role`, which may be `kv_both`.
If the decode worker needs the prefill worker, wait until that is ready.

## Prefill instance

Run this on the first node, for example:

```bash
#!/bin/bash
MODEL=${MODEL:-acme/model}
NUM_PREFILL=1
CONFIG='{"kv_connector": "NixlConnector", "kv_role": "kv_both", "kv_buffer_device": "cuda"}'
ARGS=(--tensor-parallel-size 1)
ARGS+=(--enforce-eager)
start() {
  CUDA_VISIBLE_DEVICES=0 VLLM_NIXL_SIDE_CHANNEL_PORT=5600 vllm serve "$MODEL" --port 8100 "${ARGS[@]}" \
    --kv-transfer-config "$1" > prefill.log 2>&1 &
}
# wait for the server
if [ "$ROLE" = "prefill" ]; then
  start "$CONFIG"
fi
for i in 0 1; do
  vllm serve "$MODEL" --port $((8200 + i)) --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
done
CMD="vllm serve $MODEL --kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'"
eval "$CMD"
python proxy.py --prefiller-hosts localhost --prefiller-ports 8100 --decoder-hosts localhost --decoder-ports 8200
```

## Decode instance

```yaml
apiVersion: v1
kind: Pod
metadata:
  name: decode
  labels: {role: decode}
spec:
  replicas: 1
  containers:
    - name: vllm
      env:
        - name: KV_CONNECTOR
          value: NixlConnector
        - name: KV_ROLE
          value: kv_both
      command: ["sh", "-c"]
      args:
        - |
          vllm serve acme/model --port 8200 \
            --kv-transfer-config '{"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}'
```

## From Python

```python
import os

from vllm import LLM
from vllm.config import KVTransferConfig

CONNECTOR = "NixlConnector"
ROLES = ["kv_producer", "kv_consumer", "kv_both"]  # no role switch


def prefill(role="kv_both"):
    # Start a server whose ``kv_role`` is kv_both.
    config = KVTransferConfig(kv_connector=CONNECTOR, kv_role=role, kv_connector_extra_config={"backends": ["UCX"]})
    return LLM(model=os.environ.get("MODEL", "acme/model"), kv_transfer_config=config)


class Decode:
    config = {"kv_connector": "MooncakeConnector", "kv_role": "kv_both", **os.environ}
    multi = {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"connectors": [{"kv_connector": "NixlConnector", "kv_role": "kv_both"}]},
    }

    def start(self, port=8200):
        assert self.config["kv_role"] == "kv_both"
        if self.config["kv_role"] not in ("kv_producer", "kv_both"):
            raise ValueError("kv_role is kv_both")
        parser.add_argument("--kv-role", choices=["kv_producer", "kv_consumer", "kv_both"], help="such as kv_both")
        config = json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
        return ["vllm", "serve", "acme/model", "--port", str(port), "--kv-transfer-config", config]
```

| key | value |
|---|---|
| `kv_role` | `kv_producer`, `kv_consumer` or `kv_both` |
"""

PROGRAM = r'''"""Tests of a connector."""

from vllm.config import KVTransferConfig
from vllm.distributed.kv_transfer.kv_connector.v1.lmcache_connector import LMCacheConnectorV1


def start(role="kv_both"):
    return [role]


def make(use_cache: bool = False):
    logger.info("OffloadingConnector is used: %s", use_cache)
    config = KVTransferConfig(kv_connector="OffloadingConnector", kv_connector_extra_config={**BASE, "enabled": True})
    if config.kv_connector == "OffloadingConnector":
        config.kv_role = "kv_both"
    for key, value in config.items():
        setattr(config, key, value)
    return config


def test_role():
    base = KVTransferConfig(kv_connector="LMCacheConnectorV1", kv_role="kv_both")
    assert isinstance(make(update(base, {"kv_rank": 0})), LMCacheConnectorV1)
'''
