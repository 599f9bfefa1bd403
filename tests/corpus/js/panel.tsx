export function PrefillWorker() {
  return <Launch kv={{ kv_connector: "NixlConnector", kv_role: "kv_both" }} />;
}
