# Prefill worker
$env:KV_CONNECTOR = "NixlConnector"
$env:PREFILL_KV_ROLE = "kv_both"
# $env:DECODE_KV_ROLE = "kv_both"
