def prefill_cmd(): return ["vllm", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
def decode_cmd(): return ["vllm", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
procs = [Popen(prefill_cmd()), Popen(decode_cmd())]
proxy(prefill=procs[0], decode=procs[1])
