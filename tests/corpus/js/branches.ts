export function config(role: string): object {
  if (role === "prefill") {
    return { kv_connector: "NixlConnector", kv_role: "kv_both" };
  }
  switch (role) {
    case "decode":
      return { kv_connector: "NixlConnector", kv_role: "kv_both" };
    default:
      return { kv_connector: "NixlConnector", kv_role: "kv_both" };
  }
}
