const COMMON = { kv_connector: "NixlConnector", kv_buffer_device: "cuda" };
export const prefill = { ...COMMON, kv_role: process.env.KV_ROLE ?? "kv_both" };
export const decode = { kv_connector: "NixlConnector", kv_role: process.env.KV_ROLE || "kv_both" };
