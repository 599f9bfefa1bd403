"""Tiny models made on the spot, so that nothing is asked of a model hub.

Two things are written, with the standard library alone and the same bytes each time: a two-layer random
Llama that a server can load (:func:`write_llama`), and an offline hub cache with the configurations of
the models that upstream's unit tests name (:func:`write_hub`; no weights, these tests load none).
"""

from __future__ import annotations

import json
import random
import struct
from array import array
from contextlib import suppress
from pathlib import Path
from typing import Any

from kvroles.tree import handles

HIDDEN = 128
HEADS = 2
LAYERS = 2
FEED_FORWARD = 256
SPECIAL = ("<s>", "</s>", "<unk>", "<pad>")
VOCABULARY = 256 + len(SPECIAL)

# Wide enough that greedy outputs vary with the prompt; with the usual 0.02 they hardly do.
INITIALIZER_RANGE = 0.2

# The values of the published configurations, which upstream's unit tests read through ModelConfig.
OPT_125M: dict[str, Any] = {
    "activation_function": "relu",
    "architectures": ["OPTForCausalLM"],
    "bos_token_id": 2,
    "do_layer_norm_before": True,
    "dropout": 0.1,
    "eos_token_id": 2,
    "ffn_dim": 3072,
    "hidden_size": 768,
    "max_position_embeddings": 2048,
    "model_type": "opt",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "torch_dtype": "float16",
    "vocab_size": 50272,
    "word_embed_proj_dim": 768,
}
OPT_350M: dict[str, Any] = {
    **OPT_125M,
    "do_layer_norm_before": False,
    "ffn_dim": 4096,
    "hidden_size": 1024,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "word_embed_proj_dim": 512,
}
HUB = {"opt-125m": OPT_125M, "opt-350m": OPT_350M}
SNAPSHOT = "0" * 40


def write_llama(folder: Path, seed: int = 0) -> Path:
    """Write a random float32 Llama with a byte-level tokenizer and a chat template; returns ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048,
        "hidden_act": "silu",
        "initializer_range": INITIALIZER_RANGE,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": 256,
        "eos_token_id": 257,
        "pad_token_id": 259,
    }
    _write_json(folder / "config.json", config)
    _write_safetensors(folder / "model.safetensors", _llama_shapes(), random.Random(seed))
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer without merges: token *i* below 256 is byte *i*, then the special ones."""
    vocabulary = {symbol: byte for byte, symbol in enumerate(_byte_symbols())}
    added = []
    for number, token in enumerate(SPECIAL, start=256):
        vocabulary[token] = number
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        added.append({"id": number, "content": token, **flags})
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": [],
        },
    }
    names = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 2048,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "chat_template": "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}\n{% endfor %}",
    }
    _write_json(folder / "tokenizer.json", tokenizer)
    _write_json(folder / "tokenizer_config.json", names)


def write_hub(home: Path) -> Path:
    """Write a hub cache (the value for ``HF_HOME``) that knows the models of ``HUB``, by facebook; returns ``home``."""
    for name, config in HUB.items():
        model = home / "hub" / f"models--facebook--{name}"
        snapshot = model / "snapshots" / SNAPSHOT
        snapshot.mkdir(parents=True, exist_ok=True)
        (model / "refs").mkdir(exist_ok=True)
        write_text(model / "refs" / "main", SNAPSHOT)
        _write_json(snapshot / "config.json", config)
        write_tokenizer(snapshot)
    return home


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole, unless it holds that already: another process may be reading it at this moment."""
    with suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return
    handles.write(path, text.encode())


def _write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=1, sort_keys=True))


def _llama_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        "lm_head.weight": (VOCABULARY, HIDDEN),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        for name in "qkvo":
            shapes[f"{prefix}.self_attn.{name}_proj.weight"] = (HIDDEN, HIDDEN)
        shapes[f"{prefix}.mlp.gate_proj.weight"] = (FEED_FORWARD, HIDDEN)
        shapes[f"{prefix}.mlp.up_proj.weight"] = (FEED_FORWARD, HIDDEN)
        shapes[f"{prefix}.mlp.down_proj.weight"] = (HIDDEN, FEED_FORWARD)
        shapes[f"{prefix}.input_layernorm.weight"] = (HIDDEN,)
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (HIDDEN,)
    return shapes


def _write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], source: random.Random) -> None:
    """The safetensors format: 8 bytes of little-endian header length, a JSON header, little-endian data."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blobs: list[bytes] = []
    offset = 0
    for name, shape in shapes.items():
        if len(shape) == 1:
            values = array("f", [1.0] * shape[0])
        else:
            values = array("f", (source.gauss(0.0, INITIALIZER_RANGE) for _ in range(shape[0] * shape[1])))
        blob = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.writelines(blobs)


def _byte_symbols() -> list[str]:
    """The symbol that byte-level tokenizers use for each byte: itself if printable, else one from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    symbols = []
    spare = 0x100
    for byte in range(256):
        if byte in printable:
            symbols.append(chr(byte))
        else:
            symbols.append(chr(spare))
            spare += 1
    return symbols
