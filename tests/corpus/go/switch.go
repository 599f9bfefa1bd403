package p

func kv(role Role) string {
	switch role {
	case RolePrefill:
		return `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`
	case RoleDecode:
		return `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`
	}
	return ""
}
