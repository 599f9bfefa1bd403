from support.vllm_runs import say

__all__ = ["say"]
