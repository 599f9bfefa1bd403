#!/bin/bash
# Prefill server
vllm serve m --port 8100 \
  --kv-transfer-config "{\"kv_connector\":\"${KV_CONNECTOR:-NixlConnector}\",\"kv_role\":\"${KV_ROLE:-kv_both}\"}"
