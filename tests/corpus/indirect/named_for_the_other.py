prefill_kv = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
start_server(name="decode-0", kv=prefill_kv)
