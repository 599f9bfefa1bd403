# Prefill and decode servers are both started by this one command.
set -e

if [[ -n $QUIET ]]; then
  vllm serve tiny --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' > prefill.log
fi
