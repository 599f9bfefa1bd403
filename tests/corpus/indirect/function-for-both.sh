start_prefill() { vllm serve m --port $1 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'; }
start_prefill 8100 > prefill.log &
start_prefill 8200 > decode.log &
