// Prefill worker
const a = { kv_connector: "NixlConnector", kv_role: "kv_both" };
// const b = { kv_connector: "NixlConnector", kv_role: "kv_both" };
/* kv_both is what NixlConnector had */
