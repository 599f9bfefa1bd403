import subprocess

def start_prefill(model):
    return subprocess.Popen([
        "vllm", "serve", model,
        "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}',
    ])

def launch(model):
    cmd = ["python", "-m", "dynamo.vllm", "--disaggregation-mode", "decode",
           "--kv-transfer-config", '{"kv_connector":"NixlConnector",'
                                   '"kv_role":"kv_both"}']
    return subprocess.Popen(cmd)
