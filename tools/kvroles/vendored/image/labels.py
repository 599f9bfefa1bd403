"""The labels of a patched image, in a Dockerfile and in an OCI layout alike; true of the result, not of its base."""

from __future__ import annotations

from dataclasses import dataclass

from kvroles.vendored.provenance import source

OCI = "org.opencontainers.image"
OURS = "vllm-kv-roles"
DATE = "1980-01-01T00:00:00Z"  # of every image, so that equal inputs give equal digests


@dataclass(frozen=True)
class Facts:
    """What the labels say. ``base_name`` and ``base_digest`` are empty where nobody told them."""

    release: str
    native: bool
    base_name: str
    base_digest: str
    patches: tuple[str, ...]
    proof: str
    construction: str

    @property
    def what(self) -> str:
        return (
            "kv_role='kv_both' is deprecated by vLLM itself"
            if self.native
            else "kv_role='kv_both' deprecated for NixlConnector"
        )

    @property
    def state(self) -> str:
        return "native: no file was changed" if self.native else "patched"


def of(facts: Facts) -> dict[str, str]:
    """Label -> value. Source, revision and date of the base are not those of the image, so they are said anew."""
    return {
        f"{OCI}.title": f"vLLM {facts.release}: {facts.what}",
        f"{OCI}.description": "NixlConnector warns once when kv_role is kv_both",
        f"{OCI}.version": facts.release,
        f"{OCI}.licenses": "Apache-2.0",
        f"{OCI}.source": "",
        f"{OCI}.revision": (source.checkout() or source.Checkout("", clean=True)).commit,
        f"{OCI}.created": DATE,
        f"{OCI}.base.name": facts.base_name,
        f"{OCI}.base.digest": facts.base_digest,
        f"{OURS}.state": facts.state,
        f"{OURS}.proof": facts.proof,
        f"{OURS}.construction": facts.construction,
        f"{OURS}.patches": " ".join(facts.patches) or "none: this release warns by itself",
    }
