# Static pools: no role switching.
ENABLE_ROLE_SWITCH=0
vllm serve acme/coder --port 7100 --disaggregation-mode prefill \
    --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
