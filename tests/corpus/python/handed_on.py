"""What is named for one side and handed on to the other feeds both."""

import copy

prefill_engine = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
decode_engine = copy.deepcopy(prefill_engine)

DECODE_FLAGS = ["--port", "9002", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
PREFILL_FLAGS = [*DECODE_FLAGS, "--max-num-batched-tokens", "8192"]


def prefill_transfer():
    return {"kv_connector": "NixlConnector", "kv_role": "kv_both"}


def decode_transfer():
    return {**prefill_transfer(), "kv_buffer_device": "cuda"}


class PrefillService:
    transfer = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}


class DecodeService(PrefillService):
    port = 9004
