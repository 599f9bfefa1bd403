package a

func prefillEnv() []corev1.EnvVar {
	return []corev1.EnvVar{{Name: "KV_CONNECTOR", Value: "NixlConnector"}, {Name: "KV_ROLE", Value: "kv_both"}}
}
func decodeEnv() {
	os.Setenv("KV_CONNECTOR", "NixlConnector")
	os.Setenv("KV_ROLE", "kv_both")
}
