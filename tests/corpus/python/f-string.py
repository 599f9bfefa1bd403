def start_prefill():
    role = os.getenv("KV_ROLE", "kv_both")
    return f'{{"kv_connector":"NixlConnector","kv_role":"{role}"}}'
