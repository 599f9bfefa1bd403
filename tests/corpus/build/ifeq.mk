serve-prefill:
ifeq ($(GPU),1)
	vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
else
	echo none
endif

serve:
ifeq ($(ROLE),decode)
	vllm serve m --prefill-url x --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
endif
