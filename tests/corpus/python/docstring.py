def build():
    """Config of the decode instance."""
    return {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
