package serve

func commands() (prefill, decode []string) {
	prefillArgs := []string{"--kv-transfer-config", `{"kv_connector":"NixlConnector","kv_role":"kv_both"}`}
	decodeArgs := append([]string{"--max-num-seqs", "64"}, prefillArgs...)
	return prefillArgs, decodeArgs
}
