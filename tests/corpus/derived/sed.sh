cat > prefill.yaml <<'EOF'
kind: Deployment
metadata: {name: chat-prefill}
spec:
  containers:
    - args: ["--kv-transfer-config", '{"kv_connector":"NixlConnector","kv_role":"kv_both"}']
EOF
sed 's/prefill/decode/g' prefill.yaml > decode.yaml
