fn prefill_args() -> Vec<String> {
    vec!["--kv-transfer-config".to_string(), r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#.to_string()]
}

fn args(role: Role) -> serde_json::Value {
    match role {
        Role::Decode => json!({"kv_connector": "NixlConnector", "kv_role": "kv_both"}),
        _ => unreachable!(),
    }
}

fn launch() {
    let decode_kv = "{\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}";
}
