import json

def kv(role):
    if role == "prefill":
        return json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
    elif role == "decode":
        return json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
    elif role == "encode":
        return json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
    return json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})
