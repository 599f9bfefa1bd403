"""Objects built by keyword calls, files opened by name, and branches for both sides."""

worker = client.V1Deployment(
    metadata=client.V1ObjectMeta(name="llm-prefill", labels={"app": "llm"}),
    spec=pods(["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']),
)

with open("deploy/decode.yaml", "w") as out:
    yaml.dump({"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}}, out)

with open("deploy/decode.yaml") as source:
    merge(source, {"kv_transfer_config": {"kv_connector": "NixlConnector", "kv_role": "kv_both"}})


def transfer_for_decode(role):
    if role in ("prefill", "decode"):
        return {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
    return None
