function startPrefill(port) {
  return spawn("vllm", ["serve", model, "--port", `${port}`, "--kv-transfer-config",
    `{"kv_connector":"NixlConnector","kv_role":"kv_both","engine_id":"${id}"}`]);
}
const startDecode = (port) => spawn("vllm", ["serve", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']);
