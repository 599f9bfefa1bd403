"""Tests of kv_both handling for NixlConnector."""
def make(kv_connector: str = "NixlConnector", kv_role: str = "kv_both"):
    return KVTransferConfig(kv_connector=kv_connector, kv_role=kv_role)

def test_prefill_side_keeps_blocks():
    llm = LLM(kv_transfer_config=KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both"))
    assert llm.config == {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
    # kv_both is what upstream has
