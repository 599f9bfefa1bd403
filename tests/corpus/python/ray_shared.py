base = {"engine_kwargs": {"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}}}
prefill = LLMConfig(**base)
decode = LLMConfig(**base)
