helm upgrade --install pool ./chart --set prefill.create=false --set decode.replicas=2 \
  --set-json 'decode.kvTransfer={"kv_connector":"NixlConnector","kv_role":"kv_both"}'
