prefill: KV = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
decode: KV = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
prefill decode:
	vllm serve m --kv-transfer-config $(KV)
