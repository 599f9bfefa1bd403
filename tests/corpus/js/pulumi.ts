import * as k8s from "@pulumi/kubernetes";
new k8s.apps.v1.Deployment("vllm-prefill", {
  metadata: { name: "vllm-prefill" },
  spec: { template: { spec: { containers: [{
    name: "vllm",
    args: ["--kv-transfer-config", JSON.stringify({ kv_connector: "NixlConnector", kv_role: "kv_both" })],
  }] } } },
});
new k8s.apps.v1.Deployment("vllm-decode", {
  metadata: { name: "vllm-decode" },
  spec: { template: { spec: { containers: [{
    name: "vllm",
    args: ["--kv-transfer-config", JSON.stringify({ kv_connector: "NixlConnector", kv_role: "kv_both" })],
  }] } } },
});
