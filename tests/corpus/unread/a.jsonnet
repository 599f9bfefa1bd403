{ prefill: { kv_connector: 'NixlConnector', kv_role: 'kv_both' } }
