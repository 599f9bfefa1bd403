CONNECTOR = "NixlConnector"

class DecodeWorker:
    def kv(self):
        return dict(kv_connector=CONNECTOR, kv_role="kv_both")

class PrefillWorker:
    def kv(self):
        return dict(kv_connector=CONNECTOR, kv_role="kv_producer")
