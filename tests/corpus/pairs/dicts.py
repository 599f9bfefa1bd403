COMMON = {"kv_connector": "NixlConnector"}
prefill = dict(COMMON, kv_role="kv_both")
decode = COMMON | {"kv_role": "kv_both"}
def start_prefill():
    cfg = dict(COMMON)
    cfg["kv_role"] = "kv_both"
def start_decode():
    cfg = COMMON.copy()
    cfg.update(kv_role="kv_both")
def run_prefill():
    cfg = {"kv_connector": "NixlConnector"}
    cfg.update({"kv_role": "kv_both"})
def run_decode():
    cfg = KVTransferConfig(kv_connector="NixlConnector")
    cfg.kv_role = "kv_both"
