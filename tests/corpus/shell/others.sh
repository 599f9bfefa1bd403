# prefill
vllm serve m --kv-transfer-config '{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}'
vllm serve m --kv-transfer-config '{"kv_connector":"MooncakeStoreConnector","kv_role":"kv_both"}'
vllm serve m --kv-transfer-config '{"kv_connector":"SomeNixlThing","kv_role":"kv_both"}'
