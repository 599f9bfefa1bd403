import copy
prefill_cfg = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
decode_cfg = copy.deepcopy(prefill_cfg)
decode_cfg["kv_role"] = "kv_consumer"
