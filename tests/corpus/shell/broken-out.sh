DEV=cuda
vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both","kv_buffer_device":"'${DEV}'"}' >> decode-1.out
