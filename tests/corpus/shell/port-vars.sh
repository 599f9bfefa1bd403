A=7001
B=7002
vllm serve m --port $A --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
vllm serve m --port ${B} --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
python proxy.py --prefiller-port "$A" --decoder-port "$B"
