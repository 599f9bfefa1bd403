python -m launch +prefill.kv_transfer_config.kv_connector=NixlConnector \
  +prefill.kv_transfer_config.kv_role=kv_both
python -m launch --+a.kv_transfer_config.kv_connector=NixlConnector --+a.kv_transfer_config.kv_role=kv_both role=decode
