// NixlConnector
export const prefill = { kv_connector: connector, kv_role: "kv_both" };
