if [ "$SLURM_PROCID" -lt "$NUM_PREFILL_NODES" ]; then
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
else
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
