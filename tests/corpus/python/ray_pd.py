from ray.serve.llm import LLMConfig, build_pd_openai_app

prefill_config = LLMConfig(
    model_loading_config={"model_id": "m"},
    engine_kwargs={
        "kv_transfer_config": {
            "kv_connector": "NixlConnector",
            "kv_role": "kv_both",
        }
    },
)
decode_config = LLMConfig(
    model_loading_config={"model_id": "m"},
    engine_kwargs=dict(kv_transfer_config=dict(kv_connector="NixlConnector", kv_role="kv_both")),
)
app = build_pd_openai_app(dict(prefill_config=prefill_config, decode_config=decode_config))
