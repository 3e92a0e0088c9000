"""Wrong solutions of notebook 08, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

P99 = "nearest_rank(gaps, 0.99)"
MEDIAN = "statistics.median(first_tokens)"
BEST = "best = max(allowed, key=lambda outcome: outcome.throughput)"
ALLOWED = "[outcome for outcome in outcomes if meets(outcome, slo)]"
NOTHING = "        return None"

MUTANTS = [
    Mutant("guess_budget", old="= 2048", new="= None", misconception="no_guess"),
    Mutant("evaluate", old=P99, new="max(gaps)", misconception="p99_is_max"),
    Mutant("evaluate", old=P99, new="statistics.mean(gaps)", misconception="p99_is_mean"),
    Mutant("evaluate", old=P99,
           new="statistics.mean(nearest_rank(tbt(trace, one), 0.99) for one in request_ids)",
           misconception="p99_per_request"),
    Mutant("evaluate", old=P99, new="nearest_rank([statistics.mean(tbt(trace, one)) for one in request_ids], 0.99)",
           misconception="p99_of_tpot"),
    Mutant("evaluate", old=P99, new="nearest_rank(tbt(trace, trace.requests[0].request_id), 0.99)",
           misconception="one_request"),
    Mutant("evaluate", old=MEDIAN, new="statistics.mean(first_tokens)", misconception="ttft_mean"),
    Mutant("evaluate", old=MEDIAN, new="nearest_rank(first_tokens, 0.99)", misconception="ttft_p99"),
    Mutant("evaluate", old="run(scheduler, requests", new="run(StallFreeScheduler(scheduler.config), requests",
           misconception="policy_ignored"),
    Mutant("evaluate", old="run(scheduler, requests",
           new="run(POLICIES[plan.policy](SchedulerConfig(plan.max_num_batched_tokens, scheduler.config.max_num_seqs)), "
               "requests", misconception="threshold_ignored"),
    Mutant("evaluate", old="SimulatedExecutor(cost_model)", new="SimulatedExecutor(YI_34B)",
           misconception="clock_ignored"),
    Mutant("evaluate", old="SimulatedExecutor(cost_model)",
           new="SimulatedExecutor(CostModel(base=1.0, per_token=0.125))", misconception="hand_clock"),
    Mutant("evaluate", old="requests = workload()",
           new="requests = running_example(prompt_1=24, prompt_2=8); requests[0].arrival_time = 1.0",
           misconception="workload_ignored"),
    Mutant("evaluate", old=P99, new="nearest_rank(tbt(trace, request_ids[-1]), 0.99)", misconception="last_request"),
    Mutant("evaluate", old=f"{P99}, {MEDIAN}", new=f"1000 * {P99}, 1000 * {MEDIAN}", misconception="milliseconds"),
    Mutant("evaluate", old=f"{P99}, {MEDIAN}", new=f"{MEDIAN}, {P99}", misconception="fields_swapped"),
    Mutant("recommend", old="    if not allowed:\n        return None\n", new="", misconception="nothing_left"),
    Mutant("recommend", old=ALLOWED, new="list(outcomes)", misconception="slo_ignored"),
    Mutant("recommend", old=ALLOWED, new="[outcome for outcome in outcomes if outcome.p99_tbt <= slo.p99_tbt]",
           misconception="ttft_ignored"),
    Mutant("recommend", old=ALLOWED, new="[outcome for outcome in outcomes if outcome.median_ttft <= slo.median_ttft]",
           misconception="tbt_ignored"),
    Mutant("recommend", old=ALLOWED,
           new="[one for one in outcomes if one.p99_tbt <= slo.p99_tbt or one.median_ttft <= slo.median_ttft]",
           misconception="either"),
    Mutant("recommend", old=ALLOWED,
           new="[one for one in [max(outcomes, key=lambda outcome: outcome.throughput)] if meets(one, slo)]",
           misconception="best_or_nothing"),
    Mutant("recommend", old=BEST, new="best = min(allowed, key=lambda outcome: outcome.p99_tbt)",
           misconception="lowest_tbt"),
    Mutant("recommend", old=BEST, new="best = min(allowed, key=lambda outcome: outcome.median_ttft)",
           misconception="lowest_ttft"),
    Mutant("recommend", old=BEST, new="best = allowed[0]", misconception="first_that_meets"),
    Mutant("recommend", old=BEST, new="best = min(allowed, key=lambda outcome: outcome.throughput)",
           misconception="lowest_throughput"),
    Mutant("recommend", old="for plan in grid]", new='for plan in grid if plan.policy == "stall-free"]',
           misconception="stall_free_only"),
    Mutant("recommend", old=NOTHING, new="        return min(outcomes, key=lambda outcome: outcome.p99_tbt).plan",
           misconception="least_bad"),
    Mutant("recommend", old=NOTHING, new="        return max(outcomes, key=lambda outcome: outcome.throughput).plan",
           misconception="fastest_anyway"),
    Mutant("recommend", old=ALLOWED,
           new="[one for one in outcomes if one.p99_tbt < slo.p99_tbt and one.median_ttft < slo.median_ttft]",
           misconception="strict_limit"),
    Mutant("recommend", old=BEST, new="best = sorted(allowed, key=lambda outcome: outcome.throughput)[-1]",
           misconception="tie_last"),
    Mutant("recommend", old=BEST,
           new="best = min(allowed, key=lambda one: (-one.throughput, one.plan.max_num_batched_tokens))",
           misconception="tie_smallest"),
    Mutant("recommend", old="for plan in grid]", new="for plan in GRID]", misconception="grid_ignored"),
    Mutant("recommend", old="workload, cost_model)", new="workload, CostModel(base=1.0, per_token=0.125))",
           misconception="hand_clock"),
    Mutant("recommend", old="workload, cost_model)", new="workload, YI_34B)", misconception="clock_ignored"),
    Mutant("recommend", old="return best.plan", new="return best", misconception="outcome_returned"),
]

ALTERNATIVES = [
    Alternative("evaluate", "one_pass_over_the_log", source='''
def evaluate(plan, workload, cost_model):
    trace = run(make_scheduler(plan), workload(), SimulatedExecutor(cost_model))
    times = {request.request_id: [] for request in trace.requests}
    for iteration in trace.iterations:
        for work in iteration.work:
            if work.samples_token:
                times[work.request_id].append(iteration.end)
    arrival = {request.request_id: request.arrival_time for request in trace.requests}
    gaps = sorted(later - earlier for ends in times.values() for earlier, later in pairwise(ends))
    firsts = sorted(ends[0] - arrival[key] for key, ends in times.items())
    middle = (firsts[(len(firsts) - 1) // 2] + firsts[len(firsts) // 2]) / 2
    makespan = trace.iterations[-1].end - min(arrival.values())
    return Outcome(plan=plan, throughput=sum(map(len, times.values())) / makespan,
                   p99_tbt=gaps[-(len(gaps) // 100) - 1], median_ttft=middle)
'''),
    Alternative("evaluate", "concatenated_lists", source='''
def evaluate(plan, workload, cost_model):
    executor = SimulatedExecutor(lambda spans: cost_model(spans))
    trace = run(make_scheduler(plan), iter(workload()), executor)
    gaps = sum((tbt(trace, request.request_id) for request in trace.requests), [])
    waits = tuple(ttft(trace, request.request_id) for request in trace.requests)
    return Outcome(plan, throughput(trace), nearest_rank(tuple(gaps), 0.99), statistics.median(waits))
'''),
    Alternative("evaluate", "another_class", source='''
@dataclass
class Measured:
    plan: object
    throughput: float
    p99_tbt: float
    median_ttft: float

def evaluate(plan, workload, cost_model):
    import torch
    requests = workload()
    trace = run(make_scheduler(plan), requests, SimulatedExecutor(cost_model))
    gaps = torch.tensor([gap for request in requests for gap in tbt(trace, request.request_id)], dtype=torch.float64)
    rank = math.ceil(0.99 * len(gaps))
    first = torch.tensor([ttft(trace, request.request_id) for request in requests], dtype=torch.float64)
    return Measured(plan, throughput(trace), gaps.kthvalue(rank).values, torch.quantile(first, 0.5))
'''),
    Alternative("recommend", "one_loop", source='''
def recommend(workload, cost_model, slo, grid=GRID):
    best = None
    for plan in grid:
        outcome = evaluate(plan, workload, cost_model)
        if outcome.p99_tbt > slo.p99_tbt or outcome.median_ttft > slo.median_ttft:
            continue
        if best is None or outcome.throughput > best.throughput:
            best = outcome
    return best and best.plan
'''),
    Alternative("recommend", "recursive", source='''
def recommend(workload, cost_model, slo, grid=GRID):
    def better(plans):
        if not plans:
            return None
        one, rest = evaluate(plans[0], workload, cost_model), better(plans[1:])
        if not meets(one, slo) or (rest is not None and rest.throughput > one.throughput):
            return rest
        return one
    found = better(list(grid))
    return None if found is None else found.plan
'''),
    Alternative("recommend", "sorted_table", source='''
def recommend(workload, cost_model, slo, grid=GRID):
    table = {plan: evaluate(plan, workload, cost_model) for plan in grid}
    ranked = sorted(table, key=lambda plan: table[plan].throughput, reverse=True)
    return next((plan for plan in ranked if meets(table[plan], slo)), None)
'''),
    Alternative("recommend", "nearly_the_best", source='''
def recommend(workload, cost_model, slo, grid=GRID):
    kept = [one for one in (evaluate(plan, workload, cost_model) for plan in grid) if meets(one, slo)]
    if not kept:
        return None
    most = max(one.throughput for one in kept)
    return next(one.plan for one in kept if one.throughput >= 0.9999 * most)
'''),
]
