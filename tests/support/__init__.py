"""What the tests share: a small project with a vLLM-like series, a driver for its tools, and an index with faults."""
