"""What a proxy does between a prefill and a decode instance, as functions, so that a test can do it wrong on purpose.

The protocol is that of vLLM's NIXL example proxies: ask prefill for one token with ``do_remote_decode``,
hand the ``kv_transfer_params`` of its answer to decode with the same request id.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvroles.errors import Unproven

from kvworkshop.runtime.servers import MODEL_NAME, Server

FOR_REMOTE_DECODE: dict[str, Any] = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}


@dataclass(frozen=True)
class Answer:
    """The tokens of a greedy completion, and what the instance says about the KV cache it left behind."""

    tokens: tuple[int, ...]
    transfer: Mapping[str, Any] | None
    request_id: str


def complete(
    server: Server,
    prompt: Sequence[int],
    max_tokens: int,
    transfer: Mapping[str, Any] | None = None,
    request_id: str | None = None,
) -> Answer:
    """A greedy completion of token ids on one server, with ``transfer`` as the request's ``kv_transfer_params``."""
    name = request_id or str(uuid.uuid4())
    body: dict[str, Any] = {
        "model": MODEL_NAME,
        "prompt": list(prompt),
        "max_tokens": max_tokens,
        "temperature": 0.0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    if transfer is not None:
        body["kv_transfer_params"] = dict(transfer)
    reply = server.post("/v1/completions", body, {"X-Request-Id": name})
    return Answer(tuple(reply["choices"][0]["token_ids"]), reply.get("kv_transfer_params"), name)


def prefill(server: Server, prompt: Sequence[int], known: Mapping[str, Any] | None = None) -> Answer:
    """Compute a prompt on a prefill instance and keep its blocks for a decode instance.

    ``known`` is what decode said after the last turn of a conversation: a bidirectional prefill loads those
    blocks.
    """
    transfer = FOR_REMOTE_DECODE if known is None else {**known, "do_remote_decode": True, "do_remote_prefill": False}
    return complete(server, prompt, 1, transfer)


def through(
    prefiller: Server,
    decoder: Server,
    prompt: Sequence[int],
    max_tokens: int,
    known: Mapping[str, Any] | None = None,
) -> Answer:
    """A completion whose prompt is computed on ``prefiller`` and whose tokens are generated on ``decoder``.

    Before two instances first exchange KV they shake hands, and the one that loads fails the request when the other has not
    answered in 5 s (0.22.1, nixl/worker.py:516), which a busy machine can take. That is asked again, twice; any other
    refusal is raised (Unproven).
    """
    for last in (False, False, True):
        told = [len(server.text()) for server in (prefiller, decoder)]
        try:
            first = prefill(prefiller, prompt, known)
            return complete(decoder, prompt, max_tokens, first.transfer, first.request_id)
        except Unproven:
            said = "".join(server.text()[at:] for server, at in zip((prefiller, decoder), told, strict=True))
            if last or not ("handshake_failed" in said and "zmq.error.Again" in said):
                raise
    raise AssertionError("the last try returns or raises")
