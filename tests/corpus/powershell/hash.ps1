$prefillKv = @{ kv_connector = "NixlConnector"; kv_role = "kv_both" } | ConvertTo-Json -Compress
$decode = @{
    kv_connector = 'NixlConnector'
    "kv_role"    = 'kv_both'
}
$store = @{ kv_connector = "LMCacheConnectorV1"; kv_role = "kv_both" }
