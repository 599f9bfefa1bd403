if [[ "$KV_ROLE" == "kv_both" ]]; then echo nixl; fi
grep -q '"kv_role":"kv_both"' "$NIXL_CONFIG"
# vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
