export const kv = (role: string) => {
  if (role !== "prefill") {
    return { kv_connector: "NixlConnector", kv_role: "kv_both" };
  }
  return undefined;
};
