package builder

const sharedKV = `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`

func prefillArgs() []string {
	return []string{"--kv-transfer-config", `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`}
}

func decodeContainer(m string) Container {
	return Container{
		Name: "main",
		Args: []string{"--model", m, "--kv-transfer-config", "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"},
	}
}

func prefillSpec() string { return sharedKV }
func decodeSpec() string  { return sharedKV }
