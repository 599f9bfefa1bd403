# Start the decode server, prefill runs on the other host
$config = @'
{"kv_connector":"NixlConnector","kv_role":"kv_both"}
'@
vllm serve m --kv-transfer-config $config --disaggregation-mode decode
