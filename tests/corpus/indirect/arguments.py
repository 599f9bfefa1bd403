prefill_cfg = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
Process(target=run, args=("prefill", prefill_cfg)).start()
Process(target=run, args=("decode", prefill_cfg)).start()
