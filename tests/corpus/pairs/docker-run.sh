docker run --name prefill -e KV_CONNECTOR=NixlConnector -e KV_ROLE=kv_both vllm/vllm-openai
docker run --name decode -e KV_CONNECTOR=NixlConnector -e KV_ROLE=kv_both vllm/vllm-openai
