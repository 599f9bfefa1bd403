case $1 in
  prefill) vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' ;;
  decode|*) vllm serve my/model --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' ;;
esac
