cat > prefill.yaml <<EOF
args:
  - --kv-transfer-config
  - "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"
EOF
kubectl apply -f - <<'YAML'
apiVersion: apps/v1
kind: Deployment
metadata: {name: vllm-decode}
spec:
  template:
    spec:
      containers:
        - name: c
          args: ["--kv-transfer-config", "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}"]
YAML
