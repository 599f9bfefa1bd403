export function PrefillPanel() {
  return <Launch kv={{ kv_connector: "NixlConnector", kv_role: "kv_both" }} />;
}
