helm install v ./chart --set 'prefill.kv={"kv_connector":"NixlConnector"\,"kv_role":"kv_both"}'
