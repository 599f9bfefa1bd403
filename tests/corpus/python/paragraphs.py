"""A comment speaks for its paragraph if it announces, for what stands below it if not, and never past a blank line."""


def first():
    # Launch the prefill worker
    env = dict(BASE)
    env["DEVICE"] = "0"
    run(["vllm", "serve", "m", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'], env)

    # Decode
    port = 9002
    run(["vllm", "serve", "m", "--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'], port)


def second():
    # Start prefill
    start(PREFILL)
    wait()

    transfer = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
    serve(transfer)


def third():
    # ports of the decode pool
    ports = [9001, 9002]
    transfer = {"kv_connector": "NixlConnector", "kv_role": "kv_both"}
    serve(ports, transfer)


# Decode helpers
def parse(text):
    return text.split()


def engine():
    return {"kv_connector": "NixlConnector", "kv_role": "kv_both"}


def decode(text):
    return text.decode() + '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
