num_prefill=0
for host in $PREFILL_HOSTS; do
  ssh "$host" ./prefill.sh
  ((num_prefill++))
done
start_decode() {
  vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
}
