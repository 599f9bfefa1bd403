PREFILL_TRANSFER := {"kv_connector":"NixlConnector","kv_role":"kv_both"}
DECODE_TRANSFER := $(PREFILL_TRANSFER)

run-prefill:
	vllm serve m --port 9001 --kv-transfer-config '$(PREFILL_TRANSFER)'

run-decode:
	vllm serve m --port 9002 --kv-transfer-config '$(DECODE_TRANSFER)'
