package p

var prefill = KVTransferConfig{Connector: "NixlConnector", Role: "kv_both"}

var pools = map[string]Spec{
	"decode": {KV: KVTransferConfig{Connector: "NixlConnector", Role: "kv_both"}},
}
