cat > prefill.yaml <<EOF
kv-transfer-config: '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
cat > decode.yaml <<EOF
kv-transfer-config: '{"kv_connector":"NixlConnector","kv_role":"kv_both"}'
EOF
for f in prefill.yaml decode.yaml; do
  kubectl apply -f "$f"
done
