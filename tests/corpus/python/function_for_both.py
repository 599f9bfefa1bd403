def kv_config(device):
    return {"kv_connector": "NixlConnector", "kv_role": "kv_both", "kv_buffer_device": device}

def prefill_server():
    return Server(kv=kv_config("cuda"))

def decode_server():
    return Server(kv=kv_config("cuda"))
