# prefill
CMD="vllm serve m --port 1 --kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'"
eval "$CMD &"
# decode
CMD="vllm serve m --port 2 --kv-transfer-config '{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}'"
eval "$CMD &"
