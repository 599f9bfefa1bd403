docker run -d --gpus all --name vllm-decode vllm/vllm-openai \
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
docker run -d --gpus all -e ROLE=prefill vllm/vllm-openai \
  --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
