param([string]$Model = "m")
function Start-Prefill {
    vllm serve $Model --port 8100 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
}
function Start-Decode {
    & vllm serve $Model --kv-transfer-config "{`"kv_connector`":`"NixlConnector`",`"kv_role`":`"kv_both`"}"
}
