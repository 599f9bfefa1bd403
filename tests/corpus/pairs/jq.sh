# Prefill
KV=$(jq -n --arg c NixlConnector --arg r kv_both '{kv_connector:$c, kv_role:$r}')
vllm serve m --kv-transfer-config "$KV"
