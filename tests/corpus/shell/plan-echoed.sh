echo "Plan"
echo "  1. Prefill on GPU 0"
echo "  2. Decode on GPU 1"
CUDA_VISIBLE_DEVICES=0 vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
CUDA_VISIBLE_DEVICES=1 vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

# - prefill: first
# - decode: second
ssh one vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
