vllm serve my/model --port 1 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
echo "Prefill server started"
vllm serve my/model --port 2 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
FIRST=$!
echo "Decode server started (PID $FIRST)"
vllm serve my/model --port 3 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
