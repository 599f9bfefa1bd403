vllm serve m --port 7001 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
vllm serve m --port=7002 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
python toy_proxy_server.py --prefiller-ports 7001 --decoder-ports 7002
