{{- define "vllm.prefillArgs" -}}
- --kv-transfer-config
- {{ dict "kv_connector" "NixlConnector" "kv_role" "kv_both" | toJson | quote }}
{{- end -}}
{{- define "vllm.decodeArgs" -}}
- --kv-transfer-config={{ toJson (dict "kv_connector" "NixlConnector" "kv_role" "kv_both") }}
{{- end -}}
