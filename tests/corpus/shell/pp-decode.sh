echo "start decode node"
vllm serve m --pipeline-parallel-size 2 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
echo "start prefill node"
vllm serve m --pipeline-parallel-size 2 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
