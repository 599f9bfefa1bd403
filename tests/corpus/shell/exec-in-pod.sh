kubectl exec -it chat-prefill-0 -- vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
helm upgrade --install decode ./chart --set-string 'args={"kv_connector":"NixlConnector","kv_role":"kv_both"}'
