COMMON = {"kv_connector": "NixlConnector", "kv_buffer_size": 1}
MC = dict(kv_connector="MooncakeConnector")
prefill = KVTransferConfig(**COMMON, kv_role="kv_both")
decode = {**COMMON, "kv_role": "kv_both"}
other = KVTransferConfig(kv_role="kv_both", **MC)
