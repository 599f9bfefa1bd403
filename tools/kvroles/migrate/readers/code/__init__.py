"""Python, Go, Rust: source code with string literals."""
