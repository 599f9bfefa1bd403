package a
func args() []string { return []string{"--kv-transfer-config", `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`} }
func prefill() { run(args()) }
func decode() { run(args()) }
