with open("prefill.json", "w") as f:
    json.dump({"kv_connector": "NixlConnector", "kv_role": "kv_both"}, f)
with open("decode.json", "w") as f:
    json.dump({"kv_connector": "NixlConnector", "kv_role": "kv_both"}, f)
run("vllm serve --config prefill.json > prefill.log")
run("vllm serve --config decode.json > decode.log")
