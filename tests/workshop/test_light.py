"""The light form of constructing a connector, on small modules written here."""

from __future__ import annotations

import pytest
from kvroles.errors import Unproven
from support.light import light_construct

WARNING = "\"kv_role='kv_both' is deprecated\""


def connector(check: str, extra: str = "", cache: str = ", kv_cache_config: 'KVCacheConfig'") -> bytes:
    """A module in the shape of vLLM's, with ``check`` as the first statements of the constructor."""
    return f"""
import torch
from vllm.logger import init_logger
{extra}
logger = init_logger(__name__)

class NixlConnector(KVConnectorBase_V1, SupportsHMA):
    @property
    def heavy(self):
        return torch.cuda.everything()

    def __init__(self, vllm_config: VllmConfig, role: KVConnectorRole{cache}):
        assert vllm_config.kv_transfer_config is not None
        assert vllm_config.kv_transfer_config.engine_id is not None
{check}
        if vllm_config.parallel_config.pipeline_parallel_size > 1:
            raise NotImplementedError
        self.backends = vllm_config.kv_transfer_config.get_from_extra_config("backends", ["UCX"])
        assert self.backends == ["UCX"]
        if role == KVConnectorRole.SCHEDULER:
            self.connector_scheduler: NixlConnectorScheduler | None = NixlConnectorScheduler(vllm_config)
        elif role == KVConnectorRole.WORKER:
            self.connector_worker = NixlConnectorWorker(vllm_config)
        else:
            raise AssertionError(role)
""".encode()


def check(call: str, role: str = "kv_both") -> str:
    return f"""
        if vllm_config.kv_transfer_config.kv_role == "{role}":
            {call}
"""


def test_warns_for_both_and_not_for_explicit_roles() -> None:
    source = connector(check(f"logger.warning_once({WARNING})"))
    assert light_construct(source, "kv_both") == ["kv_role='kv_both' is deprecated"]
    assert light_construct(source, "kv_producer") == []
    assert light_construct(source, "kv_consumer") == []


def test_a_constructor_without_the_check_is_silent() -> None:
    assert light_construct(connector(""), "kv_both") == []


def test_a_warning_for_the_wrong_role_is_seen() -> None:
    source = connector(check(f"logger.warning_once({WARNING})", role="kv_consumer"))
    assert light_construct(source, "kv_both") == []
    assert len(light_construct(source, "kv_consumer")) == 1


def test_a_warning_that_repeats_is_told_from_one_that_does_not() -> None:
    assert len(light_construct(connector(check(f"logger.warning({WARNING})")), "kv_both")) == 2


def test_the_constructor_before_it_took_a_cache_configuration() -> None:
    source = connector(check(f"logger.warning_once({WARNING})"), cache="")
    assert len(light_construct(source, "kv_both")) == 1


def test_a_message_in_a_constant_and_one_with_arguments() -> None:
    source = connector(check("logger.warning_once(TEXT, 'kv_both')"), extra="TEXT = 'role %s is deprecated'")
    assert light_construct(source, "kv_both") == ["role kv_both is deprecated"]


BASE_AND_MODES = f"""
class NixlBaseConnector(KVConnectorBase_V1):
    def __init__(self, vllm_config, role, kv_cache_config):
        super().__init__(vllm_config, role, kv_cache_config)
        if vllm_config.kv_transfer_config.kv_role == "kv_both":
            logger.warning_once({WARNING})

class NixlPullConnector(NixlBaseConnector):
    def __init__(self, vllm_config, role, kv_cache_config):
        super().__init__(vllm_config, role, kv_cache_config)
        self.worker = NixlPullConnectorWorker(vllm_config)

class NixlPushConnector(NixlBaseConnector):
    def __init__(self, vllm_config, role, kv_cache_config):
        self.worker = NixlPushConnectorWorker(vllm_config)

NixlConnector = NixlPullConnector
"""


def test_the_check_is_found_in_a_base_class_and_through_an_alias() -> None:
    assert len(light_construct(BASE_AND_MODES.encode(), "kv_both")) == 1
    assert len(light_construct(BASE_AND_MODES.encode(), "kv_both", "NixlPullConnector")) == 1


def test_a_mode_that_does_not_reach_its_base_is_seen() -> None:
    assert light_construct(BASE_AND_MODES.encode(), "kv_both", "NixlPushConnector") == []


def test_a_file_without_the_connector_is_refused() -> None:
    with pytest.raises(Unproven, match="does not define NixlConnector"):
        light_construct(b"class Other:\n    pass\n", "kv_both")


def test_a_constructor_that_fails_is_refused_with_the_role() -> None:
    with pytest.raises(Unproven, match=r"kv_role='kv_both'.*ValueError: no"):
        light_construct(connector(check("raise ValueError('no')")), "kv_both")
