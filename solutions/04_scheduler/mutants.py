"""Wrong solutions of notebook 04, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

LOOP_OVER_RUNNING = """\
        for request in self.running:
            num_tokens = min(request.num_tokens - request.num_computed_tokens, threshold, budget)
            plan[request.request_id] = num_tokens  # never 0: what a running request asks for only shrinks
            budget -= num_tokens
"""
LOOP_OVER_WAITING = """\
        while self.waiting and budget > 0 and len(self.running) < config.max_num_seqs:
            request = self.admit()
            num_tokens = min(request.num_tokens - request.num_computed_tokens, threshold, budget)
            plan[request.request_id] = num_tokens
            budget -= num_tokens
"""
ADMIT = "            request = self.admit()\n            num_tokens = min("


def _scheduler(misconception: str, old: str, new: str) -> Mutant:
    return Mutant("StallFreeScheduler", old=old, new=new, misconception=misconception)


def _running(misconception: str, old: str, new: str) -> Mutant:
    return Mutant("plan_running", old=old, new=new, misconception=misconception)


def _tokens(misconception: str, old: str, new: str) -> Mutant:
    return Mutant("token_iterations", old=old, new=new, misconception=misconception)


MUTANTS = [
    Mutant("guess_gap", old="= 8", new="= None", misconception="no_guess"),
    # plan_running
    _running("decode_free", "budget -= num_tokens", "budget -= num_tokens if request.num_output_tokens == 0 else 0"),
    _running("budget_not_reduced", "        budget -= num_tokens\n", ""),
    _running("not_cut", "        num_tokens = min(num_tokens, budget)\n",
             "        if num_tokens > budget:\n            continue\n"),
    _running("no_budget", "        num_tokens = min(num_tokens, budget)\n", ""),
    _running("budget_or_threshold", "        num_tokens = min(num_tokens, budget)\n",
             "        else:\n            num_tokens = min(num_tokens, budget)\n"),
    _running("one_token_each", "budget -= num_tokens", "budget -= 1"),
    _running("threshold_ignored", "config.long_prefill_token_threshold > 0", "False"),
    _running("threshold_zero", "if config.long_prefill_token_threshold > 0:", "if True:"),
    _running("threshold_total", "min(num_tokens, config.long_prefill_token_threshold)",
             "min(num_tokens, config.long_prefill_token_threshold - sum(plan.values()))"),
    _running("zero_tokens", "if num_tokens > 0:", "if True:"),
    _running("prompt_only", "request.num_tokens - request", "request.num_prompt_tokens - request"),
    _running("counts_itself", "budget -= num_tokens",
             "budget -= num_tokens\n        request.num_computed_tokens += num_tokens"),
    # StallFreeScheduler
    _scheduler("decode_free", "shrinks\n            budget -= num_tokens",
               "shrinks\n            budget -= num_tokens if request.num_output_tokens == 0 else 0"),
    _scheduler("budget_not_reduced", "            plan[request.request_id] = num_tokens\n            budget -= num_tokens\n",
               "            plan[request.request_id] = num_tokens\n"),
    _scheduler("no_budget", ADMIT + "request.num_tokens - request.num_computed_tokens, threshold, budget)",
               ADMIT + "request.num_tokens - request.num_computed_tokens, threshold)"),
    _scheduler("budget_or_threshold", LOOP_OVER_RUNNING + LOOP_OVER_WAITING,
               (LOOP_OVER_RUNNING + LOOP_OVER_WAITING).replace("threshold, budget)",
                                                               "config.long_prefill_token_threshold or budget)")),
    _scheduler("one_token_each", "shrinks\n            budget -= num_tokens", "shrinks\n            budget -= 1"),
    _scheduler("one_token_each", LOOP_OVER_WAITING,
               "        budget = config.max_num_batched_tokens - len(plan)\n" + LOOP_OVER_WAITING),
    _scheduler("threshold_ignored", "threshold = config.long_prefill_token_threshold or budget", "threshold = budget"),
    _scheduler("threshold_zero", "config.long_prefill_token_threshold or budget",
               "config.long_prefill_token_threshold"),
    _scheduler("threshold_total", "        plan: dict", "        budget = min(budget, threshold)\n        plan: dict"),
    _scheduler("threshold_not_for_new", ADMIT + "request.num_tokens - request.num_computed_tokens, threshold, budget)",
               ADMIT + "request.num_tokens - request.num_computed_tokens, budget)"),
    _scheduler("zero_tokens", "self.waiting and budget > 0 and", "self.waiting and"),
    _scheduler("prompt_only", "self.running:\n            num_tokens = min(request.num_tokens",
               "self.running:\n            num_tokens = min(request.num_prompt_tokens"),
    _scheduler("counts_itself", "shrinks\n", "shrinks\n            request.num_computed_tokens += num_tokens\n"),
    _scheduler("waiting_first", LOOP_OVER_RUNNING + LOOP_OVER_WAITING,
               "        earlier = list(self.running)\n" + LOOP_OVER_WAITING
               + LOOP_OVER_RUNNING.replace("self.running", "earlier")
               .replace("            plan[", "            if num_tokens > 0:\n                plan[")),
    _scheduler("chunks_first", "for request in self.running:",
               "for request in sorted(self.running, key=lambda one: one.num_output_tokens > 0):"),
    _scheduler("skips_head", LOOP_OVER_WAITING, """\
        for request in list(self.waiting):
            num_tokens = min(request.num_tokens - request.num_computed_tokens, threshold)
            if num_tokens <= budget and len(self.running) < config.max_num_seqs:
                self.waiting.remove(request)
                self.running.append(request)
                plan[request.request_id] = num_tokens
                budget -= num_tokens
"""),
    _scheduler("takes_tail", "request = self.admit()",
               "request = self.waiting.pop()\n            self.running.append(request)"),
    _scheduler("whole_or_nothing", LOOP_OVER_WAITING, """\
        while self.waiting and len(self.running) < config.max_num_seqs:
            num_tokens = min(self.waiting[0].num_tokens, threshold)
            if num_tokens > budget:
                break
            plan[self.admit().request_id] = num_tokens
            budget -= num_tokens
"""),
    _scheduler("seats_ignored", " and len(self.running) < config.max_num_seqs", ""),
    _scheduler("one_admission", "while self.waiting", "if self.waiting"),
    _scheduler("padded", ADMIT + "request.num_tokens - request.num_computed_tokens, threshold, budget)",
               ADMIT + "threshold, budget)"),
    _scheduler("not_moved", LOOP_OVER_WAITING, """\
        for request in self.waiting:
            if budget > 0 and len(self.running) + len(plan) < config.max_num_seqs:
                plan[request.request_id] = min(request.num_tokens, threshold, budget)
                budget -= plan[request.request_id]
"""),
    _scheduler("not_popped", "request = self.admit()",
               "request = self.waiting[0]\n            self.running.append(request)"),
    # token_iterations
    _tokens("first_token_missing", "num_prompt_tokens + len(iterations)", "num_prompt_tokens + len(iterations) + 1"),
    _tokens("total_fixed", "num_prompt_tokens + len(iterations)", "num_prompt_tokens"),
    _tokens("one_token_chunk", "num_computed_tokens == num_tokens",
            "(num_scheduled_tokens == 1 or num_scheduled_tokens and num_computed_tokens == num_prompt_tokens)"),
    _tokens("every_chunk", " and num_computed_tokens == num_tokens", " and num_scheduled_tokens > 0"),
    _tokens("next_iteration", "enumerate(plans)", "enumerate(plans, start=1)"),
    _tokens("left_out_not_counted", "enumerate(plans)", "enumerate(filter(None, plans))"),
    _tokens("left_out_gives", "num_computed_tokens == num_tokens", "num_computed_tokens >= num_prompt_tokens"),
    _tokens("after_the_last", "len(iterations) < max", "len(iterations) <= max"),
    _tokens("unfinished_dropped", "    return iterations", "    return iterations if len(iterations) == max_tokens else []"),
    _tokens("after_the_last", "len(iterations) < max_tokens and ", ""),
]

ALTERNATIVES = [
    Alternative("plan_running", "prefix_sums", source='''
from itertools import accumulate

def plan_running(running, config):
    limit = config.long_prefill_token_threshold or config.max_num_batched_tokens
    wants = [min(r.num_tokens - r.num_computed_tokens, limit) for r in running]
    ends = [min(end, config.max_num_batched_tokens) for end in accumulate(wants, initial=0)]
    return {r.request_id: b - a for r, a, b in zip(running, ends, ends[1:]) if b > a}
'''),
    Alternative("plan_running", "recursive", source='''
def plan_running(running, config, budget=None):
    budget = config.max_num_batched_tokens if budget is None else budget
    if not running or budget <= 0:
        return {}
    head, *tail = running
    n = min(head.num_tokens - head.num_computed_tokens, budget, config.long_prefill_token_threshold or budget)
    return {**plan_running(tail, config, budget - n), head.request_id: n}
'''),
    Alternative("plan_running", "token_by_token", source='''
from collections import Counter

def plan_running(running, config):
    plan = Counter()
    for request in running:
        for _ in range(request.num_computed_tokens, request.num_tokens):
            full = plan[request.request_id] == config.long_prefill_token_threshold > 0
            if plan.total() < config.max_num_batched_tokens and not full:
                plan[request.request_id] += 1
    return +plan
'''),
    Alternative("StallFreeScheduler", "with_plan_running", source='''
class StallFreeScheduler(Scheduler):
    def schedule(self):
        plan = plan_running(self.running, self.config)
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            if sum(plan.values()) >= self.config.max_num_batched_tokens:
                break
            self.admit()
            plan = plan_running(self.running, self.config)
        return SchedulerOutput(num_scheduled_tokens=plan)
'''),
    Alternative("StallFreeScheduler", "all_seats_first", source='''
class StallFreeScheduler(Scheduler):
    def schedule(self):
        while self.waiting and len(self.running) < self.config.max_num_seqs:
            self.admit()
        return SchedulerOutput(plan_running(self.running, self.config))
'''),
    Alternative("StallFreeScheduler", "decodes_before_chunks", source='''
class StallFreeScheduler(Scheduler):
    def schedule(self):
        left = self.config.max_num_batched_tokens
        most = self.config.long_prefill_token_threshold or left
        decodes = [r for r in self.running if r.num_output_tokens]
        chunks = [r for r in self.running if not r.num_output_tokens]
        new = list(self.waiting)[:self.config.max_num_seqs - len(self.running)]
        plan = {}
        for r in decodes + chunks + new:
            n = min(r.num_tokens - r.num_computed_tokens, most, left)
            if n == 0:
                break
            plan[r.request_id] = n
            left -= n
        for r in new:
            if r.request_id in plan:
                self.waiting.popleft()
                r.status = type(r.status).RUNNING
                self.running = self.running + [r]
        return SchedulerOutput(plan)
'''),
    Alternative("StallFreeScheduler", "coin_by_coin", source='''
class StallFreeScheduler(Scheduler):
    def schedule(self):
        plan = {}
        for _ in range(self.config.max_num_batched_tokens):
            request = self._next(plan)
            if request is None:
                break
            plan[request.request_id] = plan.get(request.request_id, 0) + 1
        return SchedulerOutput(dict(reversed(plan.items())))

    def _next(self, plan):
        for request in self.running:
            given = plan.get(request.request_id, 0)
            limit = self.config.long_prefill_token_threshold
            if given < request.num_tokens - request.num_computed_tokens and (limit == 0 or given < limit):
                return request
        if self.waiting and len(self.running) < self.config.max_num_seqs:
            return self.admit()
'''),
    Alternative("StallFreeScheduler", "state_of_its_own", source='''
class StallFreeScheduler(Scheduler):
    def __init__(self, config):
        super().__init__(config)
        self.limit = config.long_prefill_token_threshold or float("inf")

    def _take(self, request):
        n = min(request.num_prompt_tokens + len(request.output_token_ids) - request.num_computed_tokens, self.limit,
                self.budget)
        self.budget -= n
        return request.request_id, n

    def schedule(self):
        self.budget = self.config.max_num_batched_tokens
        pairs = [self._take(request) for request in self.running]
        while self.budget and self.waiting and self.config.max_num_seqs > len(self.running):
            self.running += [self.waiting.popleft()]
            pairs.append(self._take(self.running[-1]))
        return SchedulerOutput(dict(pairs))
'''),
    Alternative("token_iterations", "owner_of_each_token", source='''
def token_iterations(num_prompt_tokens, max_tokens, plans):
    owner = [i for i, n in enumerate(plans) for _ in range(n)]
    return tuple(owner[num_prompt_tokens - 1:][:max_tokens])
'''),
    Alternative("token_iterations", "vectorised", source='''
def token_iterations(num_prompt_tokens, max_tokens, plans):
    import torch
    plans = torch.tensor(plans)
    done = (plans.cumsum(0) >= num_prompt_tokens) & (plans > 0)
    return done.nonzero().flatten()[:max_tokens]
'''),
    Alternative("token_iterations", "recursive", source='''
def token_iterations(num_prompt_tokens, max_tokens, plans, index=0, left=None):
    left = num_prompt_tokens if left is None else left
    if index == len(plans) or max_tokens == 0:
        return []
    left -= plans[index]
    if left == 0 and plans[index]:
        return [index, *token_iterations(num_prompt_tokens, max_tokens - 1, plans, index + 1, 1)]
    return token_iterations(num_prompt_tokens, max_tokens, plans, index + 1, left)
'''),
    Alternative("token_iterations", "plays_the_request", source='''
def token_iterations(num_prompt_tokens, max_tokens, plans):
    request, found = Request("r", [0] * num_prompt_tokens, max_tokens), []
    for index in range(len(plans)):
        if request.is_finished:
            break
        if plans[index]:
            request.num_computed_tokens += plans[index]
            if request.num_computed_tokens == request.num_tokens:
                request.output_token_ids.append(0)
                found.append(index)
    return found
'''),
]
