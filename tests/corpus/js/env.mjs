export const prefill = { env: { KV_CONNECTOR: "NixlConnector", KV_ROLE: "kv_both" } };
