class Launcher:
    kv = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
class DecodeLauncher(Launcher):
    pass
