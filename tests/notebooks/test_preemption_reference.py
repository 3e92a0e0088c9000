"""The reference PreemptiveScheduler of notebook 07 against a block-by-block count of the rules, and its tokens."""

from dataclasses import asdict, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autograder import preemption, solutions
from autograder.preemption import PoolState
from autograder.scheduling import Progress
from course_lib.documents import DOCUMENTS, long_document, prompt_for
from course_lib.engine import ModelExecutor, SimulatedExecutor, run
from course_lib.model import ModelConfig, SequenceChunk, ToyTransformer
from course_lib.recite import reciting_model
from course_lib.request import Request, RequestStatus
from course_lib.scheduler import Scheduler, SchedulerConfig
from course_lib.workload import conversation_workload


def preemptive(config: SchedulerConfig) -> Scheduler:
    return solutions.load("07_complexity_and_fairness", "PreemptiveScheduler")(config)


@st.composite
def tight_workloads(draw: st.DrawFn) -> tuple[PoolState, list[list[Progress]]]:
    """Limits, a pool that is just large enough for the largest request or a little larger, and who comes when."""
    arrivals = draw(st.lists(st.lists(st.tuples(st.integers(1, 24), st.integers(1, 8)), max_size=3), max_size=6))
    arrivals = [[Progress(f"{step}.{number}", prompt, most) for number, (prompt, most) in enumerate(come)]
                for step, come in enumerate(arrivals)]
    block_size, seats = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    largest = max((one.num_prompt_tokens + one.max_tokens - 1 for come in arrivals for one in come), default=1)
    pool = -(-largest // block_size) + draw(st.integers(0, 6))
    budget, threshold = seats + draw(st.integers(0, 16)), draw(st.sampled_from([0, 0, 3, 7]))
    return PoolState(budget, seats, threshold, block_size=block_size, num_kv_blocks=pool), arrivals


@settings(max_examples=2000, deadline=None)
@given(tight_workloads())
def test_plans_and_preemptions_are_those_of_the_rules(workload: tuple[PoolState, list[list[Progress]]]) -> None:
    state, arrivals = workload
    state, arrivals = replace(state, running=[], waiting=[]), [[Progress(**asdict(one)) for one in come]
                                                               for come in arrivals]
    scheduler, outputs = preemptive(SchedulerConfig(**state.config)), {}
    requests: dict[str, Request] = {}
    for iteration in range(2000):
        for one in arrivals.pop(0) if arrivals else []:
            state.waiting.append(one)
            requests[one.request_id] = Request(one.request_id, [1] * one.num_prompt_tokens, one.max_tokens)
            outputs[one.request_id] = []
            scheduler.add_request(requests[one.request_id])
        if not (arrivals or state.running or state.waiting):
            break
        step, output = preemption.plan_step(state), scheduler.schedule()
        assert list(output.num_scheduled_tokens.items()) == list(step.plan.items())
        assert list(output.preempted_req_ids) == step.preempted
        assert [request.request_id for request in scheduler.running] == step.running
        assert [request.request_id for request in scheduler.waiting] == step.waiting
        assert step.plan or not (state.running or state.waiting)
        for request_id in step.preempted:
            assert requests[request_id].status is RequestStatus.PREEMPTED
            assert requests[request_id].num_computed_tokens == 0
        for request_id in preemption.execute(state, step):
            outputs[request_id].append(iteration)
        scheduler.update_from_output(output, dict.fromkeys(output.num_scheduled_tokens, iteration))
        assert {key: request.output_token_ids for key, request in requests.items()} == outputs
        assert scheduler.num_free_blocks == state.num_free_blocks >= 0
    assert not scheduler.has_unfinished_requests()
    assert all(len(tokens) == requests[key].max_tokens for key, tokens in outputs.items())
    assert sum(request.num_preemptions for request in requests.values()) == state.num_preemptions


@pytest.mark.parametrize("seed", range(20))
def test_with_ample_memory_it_plans_what_the_stall_free_scheduler_plans(seed: int) -> None:
    traces = []
    for policy in (solutions.load("04_scheduler", "StallFreeScheduler"), preemptive):
        config = SchedulerConfig(32, 6, long_prefill_token_threshold=seed % 3 * 10)
        requests = conversation_workload(15, rate=0.4, prompt_tokens=(1, 80), output_tokens=(1, 20), seed=seed)
        trace = run(policy(config), requests, SimulatedExecutor(lambda spans: 1.0))
        traces.append([(iteration.work, iteration.preempted) for iteration in trace.iterations])
    assert traces[0] == traces[1]


@settings(max_examples=15, deadline=None)
@given(blocks=st.integers(0, 8), budget=st.integers(8, 64), threshold=st.sampled_from([0, 16]))
@example(blocks=0, budget=64, threshold=0)
def test_recompute_recites_the_same_document(blocks: int, budget: int, threshold: int) -> None:
    documents = [DOCUMENTS["ferry"], long_document(90, seed=1), long_document(60, seed=2), long_document(25, seed=3)]
    documents = [prompt_for(document) for document in documents]
    requests = [Request(f"{number}", prompt, 12 + 4 * number) for number, prompt in enumerate(documents)]
    pool = max(-(-(request.num_prompt_tokens + request.max_tokens - 1) // 8) for request in requests) + blocks
    config = SchedulerConfig(budget, 4, long_prefill_token_threshold=threshold, block_size=8, num_kv_blocks=pool)
    run(preemptive(config), requests, ModelExecutor(reciting_model()))
    for request in requests:
        assert request.output_token_ids == request.prompt_token_ids[2:2 + request.max_tokens]
    if (blocks, budget) == (0, 64):
        assert sum(request.num_preemptions for request in requests) > 0


def test_recompute_gives_the_tokens_of_random_weights_up_to_rounding() -> None:
    config = ModelConfig(vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=96)
    model, preempted = ToyTransformer(config, seed=3), 0
    for seed in range(8):
        requests = conversation_workload(5, rate=1e6, prompt_tokens=(6, 30), output_tokens=(6, 12), vocab_size=64,
                                         seed=seed)
        pool = max(-(-(request.num_prompt_tokens + request.max_tokens - 1) // 4) for request in requests) + 2
        run(preemptive(SchedulerConfig(16, 4, block_size=4, num_kv_blocks=pool)), requests, ModelExecutor(model))
        preempted += sum(request.num_preemptions for request in requests)
        for request in requests:
            for place, token in enumerate(request.output_token_ids):
                before = request.token_ids(0, request.num_prompt_tokens + place)
                logits = model([SequenceChunk(before, model.new_cache(len(before)))])[0]
                # Two tokens may be as likely as each other to the last digits; then either may come out.
                assert logits[token] >= logits.max() - 1e-4
    assert preempted > 10
