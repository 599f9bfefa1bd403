export NODE_TYPE=decode
exec vllm serve m --kv-transfer-config "${KV_CONFIG:-{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}}"
# prefill nodes have a script of their own
