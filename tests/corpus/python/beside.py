"""What stands beside a value: in its tuple, in the condition that chooses it, in the name of the file it goes to."""

SERVERS = [
    ("prefill", 9001, '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'),
    ("decode", 9002, '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'),
    ("prefill", "decode", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'),
]

chosen = (
    '{"kv_connector":"NixlConnector","kv_role":"kv_both","engine_id":"one"}'
    if is_prefill
    else '{"kv_connector":"NixlConnector","kv_role":"kv_both","engine_id":"two"}'
)

Path("start-decode.sh").write_text("""
vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
""")

ENGINES = [
    Engine("one", is_prefill=True, transfer={"kv_connector": "NixlConnector", "kv_role": "kv_both"}),
    Engine("two", is_prefill=False, transfer={"kv_connector": "NixlConnector", "kv_role": "kv_both"}),
]


@dataclass
class DecodeTransfer:
    kv_connector: str = "NixlConnector"
    kv_role: str = "kv_both"


@dataclass
class Transfer:
    kv_connector: str = "NixlConnector"
    kv_role: str = "kv_both"
