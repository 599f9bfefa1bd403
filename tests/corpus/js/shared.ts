const kv = { kv_connector: "NixlConnector", kv_role: "kv_both" };
export const prefill = { kv };
export const prefillArgs = ["--kv", JSON.stringify(kv)];
export const decodeArgs = ["--kv", JSON.stringify(kv)];
