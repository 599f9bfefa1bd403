{{- define "vllm.prefill.kv" -}}
{{- dict "kv_connector" "NixlConnector" "kv_role" "kv_both" | toJson -}}
{{- end -}}
