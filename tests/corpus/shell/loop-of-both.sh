echo "Starting prefill"
for gpu in 0 1; do
  [ $gpu = 1 ] && echo "Starting decode"
  CUDA_VISIBLE_DEVICES=$gpu vllm serve m --port $((8100+gpu)) --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
done
