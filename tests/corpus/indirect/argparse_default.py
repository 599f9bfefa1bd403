import argparse
p = argparse.ArgumentParser()
p.add_argument("--prefill-kv", default='{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
a = p.parse_args()
start_decode(a.prefill_kv)
