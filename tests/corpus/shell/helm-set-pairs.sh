helm upgrade --install x ./c --set prefill.kv.connector=NixlConnector,prefill.kv.role=kv_both \
  --set decode.kv.connector=NixlConnector --set decode.kv.role=kv_both
