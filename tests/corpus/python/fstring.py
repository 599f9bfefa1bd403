def commands(model, device):
    prefill_cmd = (
        f"vllm serve {model} --port 8100 "
        f"--kv-transfer-config '{{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\",\"kv_buffer_device\":\"{device}\"}}'"
    )
    decode_cmd = f"""
    vllm serve {model} --port 8200 \\
      --kv-transfer-config '{{"kv_connector":"NixlConnector","kv_role":"kv_both"}}'
    """
    return prefill_cmd, decode_cmd
