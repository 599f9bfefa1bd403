package p

func TestRender(t *testing.T) {
	if !strings.Contains(out, `"kv_connector":"NixlConnector","kv_role":"kv_both"`) {
		t.Fatal("missing")
	}
	prefillManifest := `
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      containers:
        - args: ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
`
	_ = prefillManifest
}
