P_CONFIG="$(printf '%s' '{"kv_connector":"NixlConnector","engine_id":"' "$ID" '","kv_role":"kv_both"}')"
