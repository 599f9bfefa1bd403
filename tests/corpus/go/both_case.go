package serve

func decodeOrPrefill(role string) []string {
	switch role {
	case "decode", "prefill":
		return []string{"--kv-transfer-config", `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`}
	}
	return nil
}
