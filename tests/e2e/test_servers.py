"""Real servers on real NIXL: what the migration guide promises, on patched 0.22.1 and on a release that warns natively.

Every answer is greedy and compared token by token with that of one aggregated server.
"""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kvroles.errors import Unproven
from kvworkshop.runtime import pair
from kvworkshop.runtime.environments import Say
from kvworkshop.runtime.servers import Server, Setup, proxy, running, wait_ready
from support.served import STARTED, nixl, start
from support.vllm_runs import QUERY

pytestmark = pytest.mark.e2e

GUIDE = Path(__file__).parents[2] / "vllm_overlay/docs/features/nixl_kv_role_migration.md"
TOKENS = 24
LOG_DEADLINE_S = 60.0
PROMPTS = random.Random(43807)


def prompt(length: int) -> list[int]:
    """Random token ids, never the same twice, so that no cache of an earlier request serves them."""
    return [PROMPTS.randrange(256) for _ in range(length)]


def metric(server: Server, name: str) -> float:
    """The sum of a counter over its labels, 0.0 before its first sample."""
    lines = [line for line in server.get("/metrics").splitlines() if re.match(rf"{name}(\{{|\s)", line)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def moved_bytes(server: Server) -> float:
    return metric(server, "vllm:nixl_bytes_transferred_sum")


def wait_for_line(server: Server, pattern: str) -> str:
    """The first line of the server's log that matches, once it is there."""
    until = time.monotonic() + LOG_DEADLINE_S
    while time.monotonic() < until:
        for line in server.text().splitlines():
            if re.search(pattern, line):
                return line
        time.sleep(0.5)
    pytest.fail(f"{server.name} has not logged {pattern!r} within {LOG_DEADLINE_S:.0f} s")


def quoted_warning(release: str) -> str:
    """The warning as the guide quotes it: the first block is vLLM's own text, the second that of the backport."""
    section = GUIDE.read_text(encoding="utf-8").partition("## The warning")[2].partition("\n## ")[0]
    native, backport = re.findall(r"```text\n(kv_role=.*|Using kv_role=.*)\n```", section)[:2]
    return str(native if release == "0.30.0" else backport)


@dataclass(frozen=True)
class Fleet:
    """Prefill and decode in the new roles and in the old one, beside the server to compare with."""

    aggregated: Server
    producer: Server
    consumer: Server
    both_prefill: Server
    both_decode: Server


@pytest.fixture(scope="class")
def fleet(setup: Setup, aggregated: Server, say: Say) -> Iterator[Fleet]:
    say(
        f"vLLM {setup.release}: starting prefill and decode, in the new roles and in the old one, and one to compare with"
    )
    began = time.monotonic()
    servers = [
        start(setup, "prefill-producer", nixl("kv_producer"), 1),
        start(setup, "decode-consumer", nixl("kv_consumer"), 0),
        start(setup, "prefill-both", nixl("kv_both"), 1),
        start(setup, "decode-both", nixl("kv_both"), 0),
    ]
    with running(servers):
        wait_ready([aggregated])
        say(f"vLLM {setup.release}: five servers ready after {time.monotonic() - began:.0f} s")
        yield Fleet(aggregated, *servers)


def same_tokens_over_nixl(fleet: Fleet, prefill: Server, decode: Server) -> None:
    """Assert that both together answer as one server alone, and that decode was sent what prefill computed."""
    asked = prompt(100)
    alone = pair.complete(fleet.aggregated, asked, TOKENS)
    before = moved_bytes(decode)
    assert pair.through(prefill, decode, asked, TOKENS).tokens == alone.tokens
    assert moved_bytes(decode) > before


class TestRoles:
    def test_explicit_roles_give_the_tokens_of_one_server(self, fleet: Fleet) -> None:
        for length in (5, 100, 300):
            asked = prompt(length)
            alone = pair.complete(fleet.aggregated, asked, TOKENS)
            assert len(alone.tokens) == TOKENS
            assert pair.through(fleet.producer, fleet.consumer, asked, TOKENS).tokens == alone.tokens

    def test_the_kv_cache_really_moves(self, fleet: Fleet) -> None:
        before = moved_bytes(fleet.consumer)
        pair.through(fleet.producer, fleet.consumer, prompt(300), TOKENS)
        # Keys and values of 300 tokens, in 2 layers of 2 heads of 64 float32, at the least.
        assert moved_bytes(fleet.consumer) - before >= 300 * 2 * 2 * 2 * 64 * 4
        assert moved_bytes(fleet.producer) == 0
        line = wait_for_line(fleet.consumer, r"KV Transfer metrics: .*Num successful transfers=[1-9]")
        assert "Num failed" not in line or re.search(r"Num failed \w+=0", line)

    def test_blocks_of_another_prompt_give_other_tokens(self, fleet: Fleet) -> None:
        """The negative control: decode really generates from what prefill sent, not from a prompt of its own."""
        asked, other = prompt(100), prompt(100)
        alone = pair.complete(fleet.aggregated, asked, TOKENS)
        wrong = pair.prefill(fleet.producer, other)
        answer = pair.complete(fleet.consumer, asked, TOKENS, wrong.transfer, wrong.request_id)
        assert answer.tokens != alone.tokens

    def test_the_releases_own_proxy_gives_the_same_tokens(self, fleet: Fleet, setup: Setup) -> None:
        asked = prompt(100)
        toy = proxy(setup, fleet.producer, fleet.consumer)
        STARTED.append(toy)
        before = moved_bytes(fleet.consumer)
        with running([toy]):
            answer = pair.complete(toy, asked, TOKENS)
        assert answer.tokens == pair.complete(fleet.aggregated, asked, TOKENS).tokens
        assert moved_bytes(fleet.consumer) > before

    def test_both_serves_as_before(self, fleet: Fleet) -> None:
        same_tokens_over_nixl(fleet, fleet.both_prefill, fleet.both_decode)

    def test_both_warns_in_every_process_as_the_guide_quotes_it(self, fleet: Fleet, setup: Setup) -> None:
        warning = quoted_warning(setup.release)
        assert re.search(QUERY, warning)
        for server in (fleet.both_prefill, fleet.both_decode):
            lines = [line for line in server.text().splitlines() if re.search(QUERY, line)]
            assert lines, server.tail()
            assert [line for line in lines if not line.rstrip().endswith(warning)] == []
            # Once in each process that holds a connector, and nowhere else.
            processes = [re.match(r"\((\w+) pid=\d+\) WARNING ", line) for line in lines]
            assert sorted(p.group(1) if p else "" for p in processes) == ["EngineCore", "Worker"], lines

    def test_explicit_roles_do_not_warn(self, fleet: Fleet) -> None:
        for server in (fleet.producer, fleet.consumer, fleet.aggregated):
            assert [line for line in server.text().splitlines() if re.search(QUERY, line)] == []

    def test_decode_migrates_first(self, fleet: Fleet) -> None:
        same_tokens_over_nixl(fleet, fleet.both_prefill, fleet.consumer)

    def test_prefill_migrates_first(self, fleet: Fleet) -> None:
        same_tokens_over_nixl(fleet, fleet.producer, fleet.both_decode)

    @pytest.mark.parametrize("transfer", [None, {"do_remote_prefill": False, "do_remote_decode": False}])
    def test_a_consumer_prefills_locally_when_asked_to(self, fleet: Fleet, transfer: dict[str, bool] | None) -> None:
        asked = prompt(100)
        before = moved_bytes(fleet.consumer)
        answer = pair.complete(fleet.consumer, asked, TOKENS, transfer)
        assert answer.tokens == pair.complete(fleet.aggregated, asked, TOKENS).tokens
        assert moved_bytes(fleet.consumer) == before

    def test_a_producer_still_generates(self, fleet: Fleet) -> None:
        asked = prompt(100)
        answer = pair.complete(fleet.producer, asked, TOKENS)
        assert answer.tokens == pair.complete(fleet.aggregated, asked, TOKENS).tokens


@pytest.fixture(scope="class")
def bidirectional(setup: Setup, aggregated: Server, say: Say) -> Iterator[tuple[Server, Server]]:
    """Prefill and decode with bidirectional transfer."""
    say(f"vLLM {setup.release}: starting a bidirectional pair")
    # As the guide has it: from 0.24.0 on a prefill instance that also loads keeps kv_both.
    role = "kv_producer" if setup.release == "0.22.1" else "kv_both"
    servers = [
        start(setup, "bidirectional-prefill", nixl(role, bidirectional_kv_xfer=True), 1),
        start(setup, "bidirectional-decode", nixl("kv_consumer", bidirectional_kv_xfer=True), 0),
    ]
    with running(servers):
        wait_ready([aggregated])
        yield servers[0], servers[1]


@pytest.fixture(scope="class")
def children(
    setup: Setup, aggregated: Server, say: Say, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """Prefill and decode whose NIXL connector is the child of a MultiConnector."""
    say(f"vLLM {setup.release}: starting a pair of nested connectors")
    servers = [
        start(setup, "nested-prefill", nested("kv_producer", tmp_path_factory.mktemp("store")), 1),
        start(setup, "nested-decode", nested("kv_consumer", tmp_path_factory.mktemp("store")), 0),
    ]
    with running(servers):
        wait_ready([aggregated])
        yield servers[0], servers[1]


def nested(role: str, folder: Path) -> dict[str, Any]:
    """A MultiConnector that stays kv_both, with NIXL in an explicit role beside another child."""
    store = {"shared_storage_path": str(folder)}
    other = {"kv_connector": "ExampleConnector", "kv_role": "kv_both", "kv_connector_extra_config": store}
    return {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_buffer_device": "cpu",
        "kv_connector_extra_config": {"connectors": [nixl(role), other]},
    }


class TestBidirectional:
    def test_a_second_turn_loads_what_decode_kept(
        self, bidirectional: tuple[Server, Server], aggregated: Server
    ) -> None:
        prefiller, decoder = bidirectional
        first = prompt(300)
        turn = pair.through(prefiller, decoder, first, TOKENS)
        assert turn.tokens == pair.complete(aggregated, first, TOKENS).tokens
        assert turn.transfer, "decode says what it kept"
        assert moved_bytes(prefiller) == 0

        second = [*first, *turn.tokens, *prompt(200)]
        next_turn = pair.through(prefiller, decoder, second, TOKENS, known=turn.transfer)
        assert next_turn.tokens == pair.complete(aggregated, second, TOKENS).tokens
        assert moved_bytes(prefiller) > 0, "prefill has loaded from decode"


class TestMultiConnector:
    def test_an_explicit_child_serves_under_a_wrapper_of_both(
        self, children: tuple[Server, Server], aggregated: Server
    ) -> None:
        prefiller, decoder = children
        asked = prompt(100)
        alone = pair.complete(aggregated, asked, TOKENS)
        assert pair.through(prefiller, decoder, asked, TOKENS).tokens == alone.tokens
        assert moved_bytes(decoder) > 0
        for server in children:
            assert [line for line in server.text().splitlines() if re.search(QUERY, line)] == []


@pytest.fixture(scope="class")
def push(setup: Setup, aggregated: Server, say: Say) -> Iterator[tuple[Server, Server]]:
    """Prefill and decode in push mode, in the new roles; decode gives a transfer up after 20 s."""
    if setup.release == "0.22.1":
        pytest.skip("0.22.1 has no push mode: NixlPushConnector came with 0.24.0")
    say(f"vLLM {setup.release}: starting a pair in push mode")
    connector = {"kv_connector": "NixlPushConnector"}
    servers = [
        start(setup, "push-prefill", nixl("kv_producer", push_registration_timeout=20) | connector, 1),
        start(setup, "push-decode", nixl("kv_consumer", push_registration_timeout=20) | connector, 0),
    ]
    with running(servers):
        wait_ready([aggregated])
        yield servers[0], servers[1]


@pytest.fixture(scope="class")
def push_of_old(setup: Setup, push: tuple[Server, Server], say: Say) -> Iterator[tuple[Server, Server]]:
    """Prefill and decode in push mode, both in the old role."""
    say(f"vLLM {setup.release}: starting a pair in push mode that says kv_both")
    role = nixl("kv_both", push_registration_timeout=20) | {"kv_connector": "NixlPushConnector"}
    servers = [start(setup, "push-prefill-both", role, 1), start(setup, "push-decode-both", role, 0)]
    with running(servers):
        yield servers[0], servers[1]


def pushed(prefiller: Server, decoder: Server, asked: list[int]) -> pair.Answer:
    """A completion in push mode.

    A handshake that a busy machine does not answer in 5 s fails on prefill, and decode hears nothing of it: the request is
    asked again, twice.
    """
    for _ in range(2):
        with contextlib.suppress(Unproven, TimeoutError):
            return pair.through(prefiller, decoder, asked, TOKENS)
    return pair.through(prefiller, decoder, asked, TOKENS)


class TestPush:
    def test_explicit_roles_give_the_tokens_of_one_server(
        self, push: tuple[Server, Server], aggregated: Server
    ) -> None:
        asked = prompt(100)
        alone = pair.complete(aggregated, asked, TOKENS)
        assert pushed(*push, asked).tokens == alone.tokens

    def test_prefill_counts_the_transfers_and_decode_counts_none(self, push: tuple[Server, Server]) -> None:
        """The opposite of pull mode: prefill writes, so prefill owns the transfer and logs it."""
        prefiller, decoder = push
        before = moved_bytes(prefiller)
        pushed(prefiller, decoder, prompt(100))
        assert moved_bytes(prefiller) - before >= 100 * 2 * 2 * 2 * 64 * 4
        assert moved_bytes(decoder) == 0
        wait_for_line(prefiller, r"KV Transfer metrics: .*Num successful transfers=[1-9]")
        assert not re.search(r"KV Transfer metrics: .*Num successful transfers=[1-9]", decoder.text())

    @pytest.mark.parametrize("first", ["prefill", "decode"])
    def test_either_side_migrates_first(
        self, push: tuple[Server, Server], push_of_old: tuple[Server, Server], aggregated: Server, first: str
    ) -> None:
        prefiller = push[0] if first == "prefill" else push_of_old[0]
        decoder = push[1] if first == "decode" else push_of_old[1]
        asked, before = prompt(100), moved_bytes(prefiller)
        alone = pair.complete(aggregated, asked, TOKENS)
        assert pushed(prefiller, decoder, asked).tokens == alone.tokens
        assert moved_bytes(prefiller) > before
