vllm serve m --kv-transfer-config.kv_connector NixlConnector --kv-transfer-config.kv_role kv_both > decode.log
NIXL_ROLE=SENDER vllm serve m --kv_transfer_config.kv_connector=NixlConnector --kv_transfer_config.kv_role=kv_both
