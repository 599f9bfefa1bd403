srun --het-group=0 vllm serve m --disaggregation-mode prefill --kv-transfer-config '{"kv_connector":"NixlConnector","kv_role":"kv_both"}' &
srun --export=ALL,ROLE=decode,KV_CONNECTOR=NixlConnector,KV_ROLE=kv_both serve.sh
