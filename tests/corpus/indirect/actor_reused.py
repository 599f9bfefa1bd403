@ray.remote(num_gpus=1)
class PrefillActor:
    def __init__(self, port):
        self.llm = LLM(model="m", kv_transfer_config=KVTransferConfig(kv_connector="NixlConnector", kv_role="kv_both"))
prefill = PrefillActor.remote(8100)
decode = PrefillActor.remote(8200)
