PREFILL=$(jq -nc '{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
DECODE=$(jq --null-input '{"kv_connector":"NixlConnector","kv_role":"kv_both"}')
jq '.[] | select(.kv_role == "kv_both" and .kv_connector == "NixlConnector")' decode.json
