PREFILL_KV='{"kv_connector":"NixlConnector","kv_role":"kv_both"'${EXTRA}'}'
DECODE_KV="{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"${EXTRA}}"
