def prefill():
    os.environ["KV_CONNECTOR"] = "NixlConnector"
    os.environ["KV_ROLE"] = "kv_both"
def decode():
    os.environ.setdefault("KV_CONNECTOR", "NixlConnector")
    os.environ.setdefault("KV_ROLE", "kv_both")
def other():
    os.environ["KV_ROLE"] = "kv_both"
