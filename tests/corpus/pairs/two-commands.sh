# prefill
KV_CONNECTOR=NixlConnector KV_ROLE=kv_both ./serve.sh --role prefill

KV_CONNECTOR=LMCacheConnectorV1 KV_ROLE=kv_both ./serve.sh
