# two decode workers
CUDA_VISIBLE_DEVICES=0 vllm serve tiny --port 7100 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

CUDA_VISIBLE_DEVICES=1 vllm serve tiny --port 7101 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

CUDA_VISIBLE_DEVICES=2 vllm serve tiny --port 7102 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
# 2 prefill instances
CUDA_VISIBLE_DEVICES=3 vllm serve tiny --port 7103 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
FIRST=$!
CUDA_VISIBLE_DEVICES=4 vllm serve tiny --port 7104 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

# run 2 decode servers
# eager, to be up sooner
CUDA_VISIBLE_DEVICES=5 vllm serve tiny --port 7105 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &

CUDA_VISIBLE_DEVICES=6 vllm serve tiny --port 7106 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
