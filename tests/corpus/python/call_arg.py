launch("prefill", gpu=0, kv='{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
launch(Role.DECODE, gpu=1, kv='{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
