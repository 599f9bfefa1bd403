worker = Worker(name="prefill-0", config={"kv_connector": "NixlConnector", "kv_role": "kv_both"})
