# start the prefill worker
vllm serve m --kv-transfer-config "$(printf '{"kv_connector":"%s","kv_role":"%s"}' NixlConnector kv_both)"
