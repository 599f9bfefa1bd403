# enable remote prefill
python worker.py --remote-prefill --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
