"""Handed on with a role of its own, or only spoken of: the name still decides."""

prefill_transfer = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
decode_transfer = dict(prefill_transfer, kv_role="kv_consumer")

decode_server = launch("decode", {"kv_connector": "NixlConnector", "kv_role": "kv_both"}, port=9002)
prefill_targets = [decode_server.address]
