# prefill port
P=8100
# decode port
D=8200

# Prefill instance
export CUDA_VISIBLE_DEVICES=0
export UCX_TLS=all
vllm serve my/model --port $P --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

# Decode instance
export CUDA_VISIBLE_DEVICES=1
vllm serve my/model --port $D --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
