with open("prefill.json", "w") as f:
    f.write('{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
subprocess.Popen("vllm serve --config prefill.json > decode.log", shell=True)
