docker run --name prefill -d vllm/vllm-openai --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' --disaggregation-mode decode
