# NixlConnector
if ($env:KV_ROLE -eq "kv_both") { Write-Host "old" }
