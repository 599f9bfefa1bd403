# Start prefill
start_server '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
start_server '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
