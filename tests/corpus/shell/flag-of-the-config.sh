python launch.py --prefill-kv-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' --decode-kv-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
