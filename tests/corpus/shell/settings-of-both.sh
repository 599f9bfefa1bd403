# Prefill settings
PREFILL_TP=2
PREFILL_PORT=8100
# Decode settings
DECODE_TP=4
DECODE_PORT=8200

# The model both load
MODEL=my/model

vllm serve $MODEL --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
