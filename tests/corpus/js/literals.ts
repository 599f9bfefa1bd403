const prefillKv: KvTransfer = { kv_connector: "NixlConnector", kv_role: "kv_both" };
export const decode = {
  kv: JSON.stringify({ kv_connector: 'NixlConnector', kv_role: 'kv_both' }),
};
export const store = { kv_connector: "LMCacheConnectorV1", kv_role: "kv_both" };
