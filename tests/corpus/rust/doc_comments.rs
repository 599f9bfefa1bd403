/// Parses what the decode engine answers.
fn answer(text: &str) -> &str {
    text
}

fn engine() -> &'static str {
    r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#
}

fn spawn() {
    Command::new("vllm")
        .env("ROLE", "decode")
        .arg(r#"{"kv_connector":"NixlConnector","kv_role":"kv_both"}"#);
}
