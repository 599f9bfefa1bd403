kubectl -n llm set env deploy/vllm-prefill KV_TRANSFER_CONFIG='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
kubectl -n llm set env deploy/vllm-decode KV_TRANSFER_CONFIG='{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
