NODE_ROLE=prefill vllm serve m --kv-transfer-config '{"kv_connector":"NixlPushConnector","kv_role":"kv_both"}'
NODE_ROLE=decode vllm serve m --kv-transfer-config '{"kv_connector":"NixlPullConnector","kv_role":"kv_both"}'
