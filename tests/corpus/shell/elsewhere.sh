# decode is started by another script
vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
