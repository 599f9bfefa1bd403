cfg["prefill"] = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
self.decode_kv = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
