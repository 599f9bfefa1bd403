# One pool of servers; the chart calls it decode.
export POOL_PREFILL_REPLICAS=0
export POOL_PREFILL_GPUS=0
export POOL_DECODE_REPLICAS=3
export POOL_DECODE_ARGS=$(mktemp)
cat << EOF > "$POOL_DECODE_ARGS"
vllm serve my/model --port 8000 \
  --kv-transfer-config "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"
EOF
