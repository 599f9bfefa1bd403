#!/usr/bin/env bash
set -euo pipefail
# Prefill instance
CUDA_VISIBLE_DEVICES=0 vllm serve "$MODEL" --port 8100 \
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

# Decode instance
CUDA_VISIBLE_DEVICES=1 vllm serve "$MODEL" --port 8200 \
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
wait
