"""Wrong solutions of notebook 05, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

TTFT = "                return iteration.end - request.arrival_time\n"
TTFT_IF = "            if work.request_id == request_id and work.samples_token:\n"
TIMES = "    times = [iteration.end for iteration in trace.iterations for work in iteration.work\n"
GAPS = "    return [later - earlier for earlier, later in pairwise(times)]"
IDLE_IF = "            if work.request_id == request_id and work.samples_token:\n"
IDLE = "                    idle += iteration.start - previous_end\n"
MAKESPAN = "(trace.iterations[-1].end - first_arrival)"
COUNT = "sum(work.samples_token for iteration in trace.iterations for work in iteration.work)"

MUTANTS = [
    Mutant("guess_added_percent", old="= 50", new="= None", misconception="no_guess"),
    Mutant("ttft", old=TTFT, new="                return iteration.end - next(\n"
           "                    step.start for step in trace.iterations\n"
           "                    if any(one.request_id == request_id for one in step.work))\n",
           misconception="ttft_from_schedule"),
    Mutant("ttft", old=TTFT, new=TTFT.replace(".end", ".start"), misconception="ttft_at_start"),
    Mutant("ttft", old=TTFT_IF, new="            if work.request_id == request_id:\n", misconception="ttft_first_chunk"),
    Mutant("ttft", old=TTFT, new="                return iteration.end\n", misconception="ttft_clock_time"),
    Mutant("ttft", old=TTFT, new="                last = iteration.end - request.arrival_time\n"
           "                if sum(one.samples_token for step in trace.iterations for one in step.work\n"
           "                       if one.request_id == request_id and step.start > iteration.start) == 0:\n"
           "                    return last\n", misconception="ttft_last_token"),
    Mutant("ttft", old=TTFT_IF, new="            if work.samples_token:\n", misconception="ttft_any_request"),
    Mutant("ttft", old=TTFT, new=TTFT.replace("return ", "first = "), misconception="ttft_nothing"),
    Mutant("ttft", old=TTFT, new=TTFT + "            return None\n", misconception="ttft_stops"),
    Mutant("ttft", old="    return None", new="    return 0.0", misconception="ttft_none"),
    Mutant("tbt", old=TIMES, new=TIMES.replace(".end", ".start"), misconception="tbt_starts"),
    Mutant("tbt", old=TIMES, new=TIMES.replace("iteration.end", "(iteration.start, iteration.end)")
           + "             if work.request_id == request_id and work.samples_token]\n"
           "    return [later[0] - earlier[1] for earlier, later in pairwise(times)]\n"
           "    times = [iteration for iteration in trace.iterations for work in iteration.work\n",
           misconception="tbt_idle"),
    Mutant("tbt", old="and work.samples_token]", new="and work.num_tokens == 1\n"
           "             and work.start_pos >= find_request(trace, request_id).num_prompt_tokens and work.samples_token]",
           misconception="tbt_decodes"),
    Mutant("tbt", old=" and work.samples_token]", new="]", misconception="tbt_any_work"),
    Mutant("tbt", old="    find_request(trace, request_id)\n    times = [", new="    times = [find_request(trace, request_id).arrival_time] + [",
           misconception="tbt_arrival"),
    Mutant("tbt", old=GAPS, new=GAPS.replace("return", "gaps =") + "\n    return sum(gaps) / len(gaps)\n",
           misconception="tbt_mean"),
    Mutant("tbt", old=TIMES, new=TIMES.replace("iteration.end", "iteration.index"), misconception="tbt_iterations"),
    Mutant("tbt", old=GAPS, new="    gaps = [times[1] - times[0]]\n"
           "    for earlier, later in zip(times[1:], times[2:]):\n        gaps.append(later - earlier)\n    return gaps\n",
           misconception="one_token"),
    Mutant("tbt", old=GAPS, new="    return times\n", misconception="tbt_times"),
    Mutant("tbt", old=TIMES + "             if work.request_id == request_id and work.samples_token]\n" + GAPS,
           new=TIMES.replace("iteration.end", "iteration.end - iteration.start")
           + "             if work.request_id == request_id and work.samples_token]\n    return times[1:]\n",
           misconception="tbt_lengths"),
    Mutant("tbt", old="    find_request(trace, request_id)\n", new="", misconception="unknown_id"),
    Mutant("decoder_idle_time", old=IDLE, new=IDLE.replace(".start", ".end"), misconception="idle_running"),
    Mutant("decoder_idle_time", old="    find_request(trace, request_id)\n    idle, previous_end = 0.0, None\n",
           new="    idle, previous_end = 0.0, find_request(trace, request_id).arrival_time\n",
           misconception="idle_before_first"),
    Mutant("decoder_idle_time", old="    return idle", new="    return idle + (trace.iterations[-1].end - previous_end\n"
           "                   if previous_end is not None else 0.0)\n", misconception="idle_after_last"),
    Mutant("decoder_idle_time", old="    return idle",
           new="    steps = [step for step in trace.iterations for work in step.work\n"
               "             if work.request_id == request_id and work.samples_token]\n"
               "    return [later.start - earlier.end for earlier, later in pairwise(steps)]\n",
           misconception="idle_list"),
    Mutant("decoder_idle_time", old=IDLE_IF, new="            prompt = find_request(trace, request_id).num_prompt_tokens\n"
           + IDLE_IF.replace(":\n", " and work.num_tokens == 1 and work.start_pos >= prompt:\n"),
           misconception="idle_decodes"),
    Mutant("decoder_idle_time", old=IDLE, new="                    idle += iteration.index - previous_end - 1\n"
           "                previous_end = iteration.index\n                continue\n"
           "            elif False:\n                if False:\n                    pass\n",
           misconception="idle_iterations"),
    Mutant("decoder_idle_time", old=IDLE_IF, new="            if work.request_id == request_id and (\n"
           "                    work.samples_token or previous_end is not None):\n", misconception="idle_recompute"),
    Mutant("decoder_idle_time", old=IDLE, new="                    idle = max(idle, iteration.start - previous_end)\n",
           misconception="idle_longest"),
    Mutant("decoder_idle_time", old="    return idle",
           new="    times = [step for step in trace.iterations for work in step.work\n"
               "             if work.request_id == request_id and work.samples_token]\n"
               "    return idle / (len(times) - 1)\n", misconception="idle_mean"),
    Mutant("decoder_idle_time", old=IDLE, new="                    idle += sum(step.end - step.start for step in trace.iterations\n"
           "                                if previous_end <= step.start < iteration.start)\n",
           misconception="idle_server"),
    Mutant("decoder_idle_time", old="    return idle", new="    if previous_end is None:\n"
           "        raise ValueError('no tokens')\n    return idle\n", misconception="one_token"),
    Mutant("decoder_idle_time", old="    find_request(trace, request_id)\n", new="", misconception="unknown_id"),
    Mutant("throughput", old=COUNT, new=COUNT.replace("samples_token", "num_tokens"), misconception="all_tokens"),
    Mutant("throughput", old=COUNT, new="sum(\n        work.samples_token and work.num_tokens == 1\n"
           "        and work.start_pos >= find_request(trace, work.request_id).num_prompt_tokens\n"
           "        for iteration in trace.iterations for work in iteration.work)", misconception="decodes_only"),
    Mutant("throughput", old=COUNT, new="sum(request.max_tokens for request in trace.requests)",
           misconception="asked_tokens"),
    Mutant("throughput", old=MAKESPAN, new="sum(step.end - step.start for step in trace.iterations)",
           misconception="busy_time"),
    Mutant("throughput", old=MAKESPAN, new="trace.iterations[-1].end", misconception="from_zero"),
    Mutant("throughput", old=MAKESPAN, new="(trace.iterations[-1].end - trace.requests[0].arrival_time)",
           misconception="first_listed"),
    Mutant("throughput", old=MAKESPAN, new="(trace.iterations[-1].end - trace.iterations[0].start)",
           misconception="from_first_start"),
    Mutant("throughput", old=MAKESPAN, new="len(trace.iterations)", misconception="per_iteration"),
    Mutant("throughput", old="    if not trace.iterations:\n        return 0.0\n", new="", misconception="empty_trace"),
]

ALTERNATIVES = [
    Alternative("ttft", "earliest_of_all", source='''
def ttft(trace, request_id):
    arrival = {request.request_id: request.arrival_time for request in trace.requests}[request_id]
    ends = [step.end for step in trace.iterations
            if (request_id, True) in {(work.request_id, work.samples_token) for work in step.work}]
    return min(ends, default=None) and min(ends) - arrival
'''),
    Alternative("ttft", "counts_tokens", source='''
def ttft(trace, request_id):
    request, computed = find_request(trace, request_id), 0
    for step in trace.iterations:
        computed += sum(work.num_tokens for work in step.work if work.request_id == request_id)
        if computed >= request.num_prompt_tokens:
            return torch.tensor(step.end - request.arrival_time)
'''),
    Alternative("ttft", "recursive", source='''
def ttft(trace, request_id, index=0):
    if index == len(trace.iterations):
        return None
    step = trace.iterations[index]
    if any(work.samples_token for work in step.work if work.request_id == request_id):
        return step.end - find_request(trace, request_id).arrival_time
    return ttft(trace, request_id, index + 1)
'''),
    Alternative("tbt", "tensor_diff", source='''
def tbt(trace, request_id):
    find_request(trace, request_id)
    ends = [step.end for step in trace.iterations if any(w.request_id == request_id and w.samples_token for w in step.work)]
    return torch.tensor(ends, dtype=torch.float64).diff()
'''),
    Alternative("tbt", "generator_with_memory", source='''
def tbt(trace, request_id):
    if request_id not in [request.request_id for request in trace.requests]:
        raise KeyError(request_id)

    def gaps():
        before = None
        for step in trace.iterations:
            for work in step.work:
                if (work.request_id, work.samples_token) == (request_id, True):
                    if before is not None:
                        yield step.end - before
                    before = step.end
    return tuple(gaps())
'''),
    Alternative("tbt", "idle_plus_running", source='''
def tbt(trace, request_id):
    {request.request_id: request for request in trace.requests}[request_id]
    steps = [step for step in trace.iterations if any(w.request_id == request_id and w.samples_token for w in step.work)]
    return [(steps[i].start - steps[i - 1].end) + (steps[i].end - steps[i].start) for i in range(1, len(steps))]
'''),
    Alternative("decoder_idle_time", "tbt_minus_running", source='''
def decoder_idle_time(trace, request_id):
    gaps = tbt(trace, request_id)
    running = [step.end - step.start for step in trace.iterations
               if any(work.request_id == request_id and work.samples_token for work in step.work)]
    return sum(gaps) - sum(running[1:])
'''),
    Alternative("decoder_idle_time", "pairs", source='''
def decoder_idle_time(trace, request_id):
    known = {request.request_id: [] for request in trace.requests}
    for step in trace.iterations:
        for work in step.work:
            if work.samples_token:
                known[work.request_id].append(step)
    return sum(later.start - earlier.end for earlier, later in pairwise(known[request_id]))
'''),
    Alternative("decoder_idle_time", "backwards_recursive", source='''
def decoder_idle_time(trace, request_id, steps=None):
    if steps is None:
        find_request(trace, request_id)
        steps = [s for s in trace.iterations for w in s.work if w.request_id == request_id and w.samples_token]
    if len(steps) < 2:
        return 0
    return steps[-1].start - steps[-2].end + decoder_idle_time(trace, request_id, steps[:-1])
'''),
    Alternative("decoder_idle_time", "tensors", source='''
def decoder_idle_time(trace, request_id):
    find_request(trace, request_id)
    rows = [(s.start, s.end) for s in trace.iterations for w in s.work if w.request_id == request_id and w.samples_token]
    times = torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)
    return (times[1:, 0] - times[:-1, 1]).sum()
'''),
    Alternative("throughput", "per_request_sum", source='''
def throughput(trace):
    if len(trace.iterations) == 0:
        return 0
    tokens = 0
    for request in trace.requests:
        if ttft(trace, request.request_id) is not None:
            tokens += 1 + len(tbt(trace, request.request_id))
    return tokens / (max(step.end for step in trace.iterations) - min(r.arrival_time for r in trace.requests))
'''),
    Alternative("throughput", "exception", source='''
def throughput(trace):
    try:
        seconds = trace.iterations[-1].end - sorted(request.arrival_time for request in trace.requests)[0]
    except IndexError:
        return 0.0
    return len([w for s in trace.iterations for w in s.work if w.samples_token]) / seconds
'''),
    Alternative("throughput", "tensors", source='''
def throughput(trace):
    given = torch.tensor([work.samples_token for step in trace.iterations for work in step.work])
    if given.numel() == 0:
        return torch.zeros(())
    first = torch.tensor([request.arrival_time for request in trace.requests], dtype=torch.float64).min()
    return given.sum() / (trace.iterations[-1].end - first)
'''),
]
