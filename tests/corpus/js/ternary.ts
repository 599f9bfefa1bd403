export const kv = role === "prefill" ? { kv_connector: "NixlConnector", kv_role: "kv_both" } : role === "decode" ? { kv_connector: "NixlConnector", kv_role: "kv_both" } : undefined;
