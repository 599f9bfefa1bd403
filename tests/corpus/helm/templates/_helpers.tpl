{{- define "engine.prefill.args" -}}
- --kv-transfer-config
- '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
{{- end }}
{{- define "engine.args" -}}
{{- /* used for prefill and decode alike */}}
- --kv-transfer-config
- '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
{{- end }}
