KV_CONNECTOR ?= NixlConnector
PREFILL_KV_ROLE ?= kv_both
serve-prefill:
	vllm serve m --kv-transfer-config '{"kv_connector":"$(KV_CONNECTOR)","kv_role":"$(PREFILL_KV_ROLE)"}'
