"""Wrong solutions of notebook 06, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

GAPS = "gaps = [gap for request_id in request_ids for gap in tbt(trace, request_id)]"
BEST = "best = min(allowed, key=lambda row: (-row.throughput, row.budget))"
RUN = "trace = run(make_scheduler(budget), make_requests(), executor)"
LOOP = f"for budget in budgets:\n        {RUN}"

MUTANTS = [
    Mutant("guess_loss_percent", old="= 30", new="= None", misconception="no_guess"),
    Mutant("row_of", old=GAPS, new="gaps = tbt(trace, request_ids[0])", misconception="one_request"),
    Mutant("row_of", old=GAPS, new="for request_id in request_ids:\n        gaps = tbt(trace, request_id)",
           misconception="one_request"),
    Mutant("row_of", old="p99_tbt=nearest_rank(gaps, 0.99)",
           new="p99_tbt=sum(nearest_rank(tbt(trace, one), 0.99) for one in request_ids if tbt(trace, one)) / "
               "max(1, sum(bool(tbt(trace, one)) for one in request_ids))", misconception="mean_of_p99s"),
    Mutant("row_of", old="p99_tbt=nearest_rank(gaps, 0.99)",
           new="p99_tbt=nearest_rank([statistics.mean(tbt(trace, one)) for one in request_ids if tbt(trace, one)], 0.99)",
           misconception="p99_of_tpots"),
    Mutant("row_of", old="nearest_rank(gaps, 0.99)", new="nearest_rank(gaps, 1.0)", misconception="p99_is_max"),
    Mutant("row_of", old="p99_tbt=nearest_rank(gaps, 0.99)",
           new="p99_tbt=nearest_rank([max(tbt(trace, one), default=0.0) for one in request_ids], 0.99)",
           misconception="p99_is_max"),
    Mutant("row_of", old="p99_tbt=nearest_rank(gaps, 0.99)",
           new="p99_tbt=max(nearest_rank(tbt(trace, one), 0.99) for one in request_ids)", misconception="p99_is_max"),
    Mutant("row_of", old="nearest_rank(gaps, 1.0)", new="nearest_rank(gaps, 0.99)", misconception="max_is_p99"),
    Mutant("row_of", old="nearest_rank(gaps, 0.99), max_tbt=nearest_rank(gaps, 1.0)",
           new="nearest_rank(gaps, 1.0), max_tbt=nearest_rank(gaps, 0.99)", misconception="fields_swapped"),
    Mutant("row_of", old="nearest_rank(gaps, 0.99)",
           new="statistics.quantiles(gaps, n=100)[98] if len(gaps) > 1 else 0.0", misconception="interpolated"),
    Mutant("row_of", old="statistics.median(first_tokens)", new="nearest_rank(first_tokens, 0.5)",
           misconception="rank_median"),
    Mutant("row_of", old=GAPS, new="gaps = [gap for one in request_ids for gap in [ttft(trace, one), *tbt(trace, one)]]",
           misconception="with_ttft"),
    Mutant("row_of", old="statistics.median(first_tokens)", new="statistics.mean(first_tokens)",
           misconception="mean_ttft"),
    Mutant("row_of", old=GAPS, new="gaps = [1000 * gap for one in request_ids for gap in tbt(trace, one)]\n"
                                   "    ttft = lambda trace, one: 1000 * globals()['ttft'](trace, one)",
           misconception="milliseconds"),
    Mutant("row_of", old="max_tbt=nearest_rank(gaps, 1.0)", new="max_tbt=max(gaps)", misconception="no_gaps"),
    Mutant("sweep", old=f"rows = []\n    {LOOP}",
           new="rows = []\n    requests = make_requests()\n    for budget in budgets:\n"
               "        trace = run(make_scheduler(budget), requests, executor)", misconception="requests_reused"),
    Mutant("sweep", old=f"rows = []\n    {LOOP}",
           new="rows, scheduler = [], None\n    for budget in budgets:\n"
               "        scheduler = scheduler or make_scheduler(budget)\n"
               "        trace = run(scheduler, make_requests(), executor)", misconception="scheduler_reused"),
    Mutant("sweep", old=f"rows = []\n    {LOOP}",
           new="rows, first = [], None\n    for budget in budgets:\n        first = first or budget\n"
               "        trace = run(make_scheduler(first), make_requests(), executor)", misconception="same_budget"),
    Mutant("sweep", old="make_requests(), executor)", new="make_requests(), SimulatedExecutor(YI_34B))",
           misconception="own_executor"),
    Mutant("sweep", old="make_requests(), executor)", new="make_requests(), SimulatedExecutor(HAND_CLOCK))",
           misconception="own_executor"),
    Mutant("sweep", old="make_requests(), executor)", new="example_requests(), executor)", misconception="own_requests"),
    Mutant("sweep", old="make_scheduler(budget), make", new="example_scheduler(budget), make",
           misconception="own_scheduler"),
    Mutant("sweep", old="    return rows", new="        return rows", misconception="return_in_loop"),
    Mutant("sweep", old="return rows", new="return sorted(rows, key=lambda row: row.budget)",
           misconception="rows_sorted"),
    Mutant("sweep", old="rows = []", new="rows = []\n    num_rows = sum(1 for budget in budgets)",
           misconception="budgets_twice"),
    Mutant("sweep", old="rows.append(row_of(budget, trace))\n    return rows",
           new="rows.append(budget)\n    return [row_of(budget, trace) for budget in rows]",
           misconception="last_trace"),
    Mutant("pick_budget", old="[row for row in rows if row.p99_tbt <= tbt_slo]", new="rows",
           misconception="slo_ignored"),
    Mutant("pick_budget", old="<= tbt_slo", new="< tbt_slo", misconception="strict"),
    Mutant("pick_budget", old=BEST, new="best = min(rows, key=lambda row: (-row.throughput, row.budget))\n"
                                        "    if best.p99_tbt > tbt_slo:\n        return None",
           misconception="best_or_nothing"),
    Mutant("pick_budget", old="        return None", new="        return 0", misconception="zero_for_none"),
    Mutant("pick_budget", old=BEST, new="best = max(allowed, key=lambda row: row.budget)",
           misconception="largest_budget"),
    Mutant("pick_budget", old=BEST, new="best = min(allowed, key=lambda row: row.budget)",
           misconception="smallest_budget"),
    Mutant("pick_budget", old=BEST, new="best = min(allowed, key=lambda row: row.p99_tbt)",
           misconception="lowest_tbt"),
    Mutant("pick_budget", old=BEST, new="best = max(allowed, key=lambda row: (row.throughput, row.budget))",
           misconception="tie_larger"),
    Mutant("pick_budget", old=BEST, new="best = max(allowed, key=lambda row: row.throughput)",
           misconception="tie_first"),
    Mutant("pick_budget", old="        return None",
           new="        return min(rows, key=lambda row: row.p99_tbt).budget if rows else None",
           misconception="least_bad"),
    Mutant("pick_budget", old="        return None", misconception="least_bad",
           new="        return max(rows, key=lambda row: row.throughput).budget if rows else None"),
    Mutant("pick_budget", old="    if not allowed:\n        return None\n", new="", misconception="none_is_error"),
    Mutant("pick_budget", old="return best.budget", new="return best", misconception="returns_row"),
    Mutant("pick_budget", old="row.p99_tbt <=", new="row.max_tbt <=", misconception="max_instead"),
    Mutant("pick_budget", old="row.p99_tbt <= tbt_slo", new="1000 * row.p99_tbt <= tbt_slo", misconception="slo_in_ms"),
]

ALTERNATIVES = [
    Alternative("row_of", "one_pass_over_the_log", source='''
def row_of(budget, trace):
    arrivals = {request.request_id: request.arrival_time for request in trace.requests}
    times = {request_id: [] for request_id in arrivals}
    for iteration in trace.iterations:
        for work in iteration.work:
            if work.samples_token:
                times[work.request_id].append(iteration.end)
    gaps = sorted(b - a for tokens in times.values() for a, b in zip(tokens, tokens[1:]))
    firsts = sorted(tokens[0] - arrivals[request_id] for request_id, tokens in times.items())
    middle = len(firsts) // 2
    median = firsts[middle] if len(firsts) % 2 else (firsts[middle - 1] + firsts[middle]) / 2
    makespan = trace.iterations[-1].end - min(arrivals.values())
    p99 = gaps[-(-99 * len(gaps) // 100) - 1] if gaps else 0.0
    return Row(budget, sum(map(len, times.values())) / makespan, p99, gaps[-1] if gaps else 0.0, median, makespan)
'''),
    Alternative("row_of", "numpy_numbers", source='''
def row_of(budget, trace):
    import numpy as np
    ids = [request.request_id for request in trace.requests]
    gaps = np.array(sum((tbt(trace, one) for one in ids), []))
    p99 = np.percentile(gaps, 99, method="inverted_cdf") if gaps.size else 0.0
    start = min(request.arrival_time for request in trace.requests)
    return Row(budget, throughput(trace), p99, gaps.max(initial=0.0), np.median([ttft(trace, one) for one in ids]),
               trace.iterations[-1].end - start)
'''),
    Alternative("row_of", "keywords_and_chain", source='''
def row_of(budget, trace):
    from itertools import chain
    gaps = tuple(chain.from_iterable(tbt(trace, request.request_id) for request in trace.requests))
    makespan = max(iteration.end for iteration in trace.iterations) - trace.requests[0].arrival_time
    return Row(makespan=makespan, median_ttft=statistics.median(ttft(trace, one.request_id) for one in trace.requests),
               max_tbt=max(gaps, default=0.0), p99_tbt=nearest_rank(gaps, 0.99), throughput=throughput(trace),
               budget=budget)
'''),
    Alternative("sweep", "comprehension", source='''
def sweep(make_requests, make_scheduler, budgets, executor):
    return [row_of(budget, run(make_scheduler(budget), make_requests(), executor)) for budget in budgets]
'''),
    Alternative("sweep", "everything_made_first", source='''
def sweep(make_requests, make_scheduler, budgets, executor):
    prepared = [(budget, make_scheduler(budget), make_requests()) for budget in budgets]
    traces = {budget: run(scheduler, requests, executor) for budget, scheduler, requests in reversed(prepared)}
    return tuple(row_of(budget, traces[budget]) for budget, _, _ in prepared)
'''),
    Alternative("sweep", "recursive", source='''
def sweep(make_requests, make_scheduler, budgets, executor):
    budgets = list(budgets)
    if not budgets:
        return []
    row = row_of(budgets[0], run(make_scheduler(budgets[0]), requests=make_requests(), executor=executor))
    return [row, *sweep(make_requests, make_scheduler, budgets[1:], executor)]
'''),
    Alternative("pick_budget", "sorted_then_first", source='''
def pick_budget(rows, tbt_slo):
    for row in sorted(sorted(rows, key=lambda row: row.budget), key=lambda row: row.throughput, reverse=True):
        if row.p99_tbt <= tbt_slo:
            return row.budget
'''),
    Alternative("pick_budget", "one_pass", source='''
def pick_budget(rows, tbt_slo):
    best = None
    for row in rows:
        if row.p99_tbt > tbt_slo:
            continue
        if best is None or row.throughput > best.throughput or (
                row.throughput == best.throughput and row.budget < best.budget):
            best = row
    return best and best.budget
'''),
    Alternative("pick_budget", "largest_tuple", source='''
def pick_budget(rows, tbt_slo):
    candidates = {(row.throughput, -row.budget) for row in rows if not row.p99_tbt > tbt_slo}
    return -max(candidates)[1] if candidates else None
'''),
]
