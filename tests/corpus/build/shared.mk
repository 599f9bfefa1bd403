KV := {"kv_connector":"NixlConnector","kv_role":"kv_both"}
prefill:
	vllm serve m --kv-transfer-config '$(KV)'
decode:
	vllm serve m --kv-transfer-config '$(KV)'
