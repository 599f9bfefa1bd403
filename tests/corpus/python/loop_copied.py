def build(configs):
    prefill_pool = configs
    for one in prefill_pool:
        one.engine["kv_transfer_config"] = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")
    decode_pool = [one.copy() for one in prefill_pool]
    return serve(prefill_pool, decode_pool)


def build_each(prefill_ones, decode_ones):
    for one in prefill_ones:
        one.engine["kv_transfer_config"] = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")
    for one in decode_ones:
        one.engine["kv_transfer_config"] = KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both")
