# copied from the prefill script
python3 -m dynamo.vllm --model m --disaggregation-mode decode --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
