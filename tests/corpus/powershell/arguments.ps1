$prefillArgs = @("serve", "m", "--kv-transfer-config.kv_connector", "NixlConnector", "--kv-transfer-config.kv_role", "kv_both")
Start-Process vllm -ArgumentList $prefillArgs
