"""Hugging Face transformers as a peer of our engine: the same weights, its fastest settings, timed from outside."""

import time
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    StoppingCriteria,
    StoppingCriteriaList,
)

from course_lib.model import ToyTransformer
from course_lib.request import Request

PAGE_SIZE = 32  # tokens in a page of its continuous batching
CACHES = ("dynamic", "static")  # of `generate`; the faster one counts


def llama(model: ToyTransformer) -> LlamaForCausalLM:
    """A LlamaForCausalLM with the weights, the device and the number format of `model`."""
    settings = asdict(model.config) | {"rope_scaling": None}
    config = LlamaConfig(**settings, attn_implementation="sdpa", eos_token_id=None, bos_token_id=None, pad_token_id=0)
    weight = model.lm_head.weight
    peer = LlamaForCausalLM(config).to(weight.device, weight.dtype).eval()
    peer.load_state_dict(model.state_dict())
    return peer.requires_grad_(False)


@torch.inference_mode()
def prefill(peer: LlamaForCausalLM, token_ids: Sequence[int]) -> Tensor:
    """The last token's logits, (vocab_size,); a cache is filled, as for a decode to follow."""
    ids = torch.tensor([token_ids], device=peer.device)
    return peer(ids, logits_to_keep=1, use_cache=True).logits[0, -1]


class Clock(StoppingCriteria):
    """Never stops; notes when each token was there."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
        """`generate` asks this after each step."""
        if input_ids.device.type == "cuda":
            torch.cuda.synchronize(input_ids.device)
        self.times.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def decode(peer: LlamaForCausalLM, prompts: Sequence[Sequence[int]], num_tokens: int,
           cache: str) -> tuple[list[float], list[list[int]]]:
    """Times at which `generate` had each step's tokens, and the tokens of each prompt."""
    ids, clock = torch.tensor(prompts, device=peer.device), Clock()
    output = peer.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=num_tokens, do_sample=False,
                           cache_implementation=cache, stopping_criteria=StoppingCriteriaList([clock]))
    return clock.times, output[:, ids.shape[1]:].tolist()


def serve(peer: LlamaForCausalLM, requests: Sequence[Request], budget: int,
          max_num_seqs: int) -> tuple[float, dict[str, list[float]], dict[str, list[int]]]:
    """Its continuous batching, as it is, on requests that are all there from the start.

    Returns when they were handed in, and for each request the times and the ids of its tokens. Prefix sharing is off:
    the same prompts come again in every round, and would be found in its cache.
    """
    num_blocks = sum(-(-(request.num_prompt_tokens + request.max_tokens) // PAGE_SIZE) for request in requests) + 2
    manager = peer.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0, max_new_tokens=1),
        continuous_batching_config=ContinuousBatchingConfig(
            page_size=PAGE_SIZE, num_blocks=num_blocks, max_batch_tokens=budget, max_requests_per_batch=max_num_seqs,
            scheduler_type="fifo", allow_block_sharing=False, auto_switch_to_flash=False,
        ),
    )
    manager.warmup()  # makes the cache and the batch processor: no part of serving
    manager.start()
    times: dict[str, list[float]] = {}
    token_ids: dict[str, list[int]] = {}
    try:
        with manager.pause():
            for request in requests:
                manager.add_request(request.prompt_token_ids, request_id=request.request_id,
                                    max_new_tokens=request.max_tokens, record_timestamps=True)
            start = time.perf_counter()
        while len(times) < len(requests):
            result = manager.get_result(timeout=60)
            if result is None or result.error is not None:
                raise RuntimeError(f"continuous batching failed: {result.error if result else 'no result in 60 s'}")
            if result.is_finished():
                times[result.request_id] = result.timestamps
                token_ids[result.request_id] = result.generated_tokens
    finally:
        manager.stop(block=True)
        manager.destroy()
    return start, times, token_ids
