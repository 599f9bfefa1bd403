fn start_all() {
    let prefill_transfer = r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#;
    let decode_transfer = prefill_transfer.to_string();
    start(9001, prefill_transfer);
    start(9002, &decode_transfer);
}
