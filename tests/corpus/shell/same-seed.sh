# Prefillers and decoders hash alike only when they share one seed, or a decoder
# finds none of the blocks kept by the prefillers.
export PYTHONHASHSEED=7

if [[ $1 == "prefiller" ]]; then
  vllm serve tiny --port 7100 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
elif [[ $1 == "decoder" ]]; then
  vllm serve tiny --port 7200 --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
fi
