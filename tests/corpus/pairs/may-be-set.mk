# or NixlConnector
CONN ?= LMCacheConnectorV1
serve-prefill:
	vllm serve m --kv-transfer-config '{"kv_connector":"$(CONN)","kv_role":"kv_both"}'
