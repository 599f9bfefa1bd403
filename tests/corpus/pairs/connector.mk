CONN := NixlConnector
serve-prefill: ; echo
serve-decode:
	vllm serve m --kv-transfer-config '{"kv_connector":"$(CONN)","kv_role":"kv_both"}'
