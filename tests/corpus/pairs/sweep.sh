python -m launch -m kv.kv_connector=NixlConnector kv.kv_role=kv_both,kv_producer
