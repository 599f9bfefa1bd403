def run_prefill():
    subprocess.run(["python", "-m", "launch", "kv.kv_connector=NixlConnector", "++kv.kv_role=kv_both"])
