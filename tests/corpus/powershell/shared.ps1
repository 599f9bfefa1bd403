$kv = '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
function Start-Prefill { vllm serve m --kv-transfer-config $kv }
function Start-Decode { vllm serve m --kv-transfer-config $kv }
