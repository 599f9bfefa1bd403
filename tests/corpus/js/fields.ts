class PrefillWorker {
  kvConnector = "NixlConnector";
  kvRole = "kv_both";
}
class DecodeWorker {
  private readonly args: string[] = ["--kv-transfer-config.kv_connector=NixlConnector", "--kv-transfer-config.kv_role=kv_both"];
}
