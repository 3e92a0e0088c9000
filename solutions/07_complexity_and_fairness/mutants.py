"""Wrong solutions of notebook 07, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

UNIT = "min(request.num_tokens - request.num_computed_tokens, chunk_size)"
MAKE_ROOM = """\
            while needed > self.num_free_blocks and request not in preempted:
                preempted.append(preempt_tail(self))
"""
END_OF_PASS = """\
            if request in preempted:
                break
            self.hold(request, needed)
"""
PLAN = "            plan[request.request_id] = num_tokens\n"
ADMISSION = """\
            num_tokens = self.share(self.waiting[0], budget)
            needed = blocks_needed(0, num_tokens, 0, config.block_size)
            if needed > self.num_free_blocks:
                break
            request = self.admit()
            self.hold(request, needed)
            plan[request.request_id] = num_tokens
            budget -= num_tokens
"""


def _cycle(misconception: str, old: str, new: str) -> Mutant:
    return Mutant("fair_cycle", old=old, new=new, misconception=misconception)


def _blocks(misconception: str, new: str) -> Mutant:
    old = "-(-(num_computed_tokens + num_new_tokens) // block_size) - num_blocks_held"
    return Mutant("blocks_needed", old=old, new=new, misconception=misconception)


def _tail(misconception: str, old: str, new: str) -> Mutant:
    return Mutant("preempt_tail", old=old, new=new, misconception=misconception)


def _scheduler(misconception: str, old: str, new: str) -> Mutant:
    return Mutant("PreemptiveScheduler", old=old, new=new, misconception=misconception)


MUTANTS = [
    Mutant("guess_tokens", old="= 10", new="= None", misconception="no_guess"),
    # fair_cycle
    _cycle("padded", UNIT, "chunk_size"),
    _cycle("padded", UNIT, "1 if request.num_output_tokens else chunk_size"),
    _cycle("whole_prompt_unit", UNIT, "request.num_tokens - request.num_computed_tokens"),
    _cycle("shared_chunk", ", chunk_size)\n", ", max(1, chunk_size // sum(not one.is_finished for one in active)))\n"),
    _cycle("departed", "if not request.is_finished:", "if True:"),
    _cycle("prompt_only", "min(request.num_tokens", "min(request.num_prompt_tokens"),
    _cycle("one_each_turn", ", chunk_size)\n", ", chunk_size)\n            break\n"),
    _cycle("decodes_only", "if not request.is_finished:", "if not request.is_finished and request.num_output_tokens:"),
    _cycle("behind_finished", "if not request.is_finished:",
           "if request.is_finished:\n            break\n        if True:"),
    _cycle("behind_finished", "if not request.is_finished:",
           "if request.is_finished:\n            active.remove(request)\n        else:"),
    _cycle("counts_itself", ", chunk_size)\n",
           ", chunk_size)\n            request.num_computed_tokens += units[request.request_id]\n"),
    # blocks_needed
    _blocks("held_ignored", "-(-(num_computed_tokens + num_new_tokens) // block_size)"),
    _blocks("rounded_down", "(num_computed_tokens + num_new_tokens) // block_size - num_blocks_held"),
    _blocks("one_too_many", "(num_computed_tokens + num_new_tokens) // block_size + 1 - num_blocks_held"),
    _blocks("new_tokens_alone", "-(-num_new_tokens // block_size)"),
    _blocks("held_unused", "-(-(num_computed_tokens + num_new_tokens) // block_size)"
                           " + (-num_computed_tokens // block_size)"),
    _blocks("adds_held", "-(-(num_computed_tokens + num_new_tokens) // block_size - num_blocks_held)"),
    _blocks("in_tokens", "num_computed_tokens + num_new_tokens - num_blocks_held * block_size"),
    Mutant("blocks_needed", old="max(0, -(-(num_computed_tokens + num_new_tokens) // block_size) - num_blocks_held)",
           new="-(-(num_computed_tokens + num_new_tokens) // block_size) - num_blocks_held", misconception="below_zero"),
    # preempt_tail
    _tail("progress_kept", "    request.num_computed_tokens = 0\n", ""),
    _tail("prompt_kept", "request.num_computed_tokens = 0",
          "request.num_computed_tokens = min(request.num_computed_tokens, request.num_prompt_tokens)"),
    _tail("outputs_lost", "request.num_computed_tokens = 0",
          "request.num_computed_tokens = 0\n    request.output_token_ids.clear()"),
    _tail("blocks_kept", "    scheduler.free(request)\n", ""),
    _tail("still_held", "scheduler.free(request)",
          "scheduler.num_free_blocks += scheduler.blocks_held[request.request_id]"),
    _tail("not_queued", "    scheduler.waiting.appendleft(request)\n", ""),
    _tail("end_of_queue", "waiting.appendleft(request)", "waiting.append(request)"),
    # PreemptiveScheduler: rule 2
    _scheduler("overcommitted", MAKE_ROOM, ""),
    _scheduler("overcommitted", END_OF_PASS, END_OF_PASS.replace("needed)", "0)")),
    _scheduler("left_out", MAKE_ROOM + END_OF_PASS,
               "            if needed > self.num_free_blocks:\n                continue\n            self.hold(request, needed)\n"),
    _scheduler("overcommitted", "while needed > self.num_free_blocks and request not in preempted:",
               "if needed > self.num_free_blocks and request not in preempted:"),
    _scheduler("last_block", "while needed > self.num_free_blocks and",
               "while needed > 0 and needed >= self.num_free_blocks and"),
    _scheduler("not_the_tail", "preempted.append(preempt_tail(self))",
               "self.running.append(self.running.pop(0))\n                preempted.append(preempt_tail(self))"),
    _scheduler("planned_after_preemption", END_OF_PASS, "            self.hold(request, needed)\n"),
    _scheduler("planned_after_preemption", "while needed > self.num_free_blocks and request not in preempted:",
               "while needed > self.num_free_blocks and self.running:"),
    _scheduler("not_reported", "tuple(request.request_id for request in preempted)", "()"),
    _scheduler("back_of_queue", "preempted.append(preempt_tail(self))",
               "preempted.append(preempt_tail(self))\n                self.waiting.rotate(-1)"),
    _scheduler("counts_itself", END_OF_PASS, END_OF_PASS + "            request.num_computed_tokens += num_tokens\n"),
    _scheduler("budget_not_reduced", END_OF_PASS + PLAN + "            budget -= num_tokens\n", END_OF_PASS + PLAN),
    # PreemptiveScheduler: rule 3
    _scheduler("admits_after_preemption", "while not preempted and self.waiting", "while self.waiting"),
    _scheduler("pool_ignored_for_new",
               "            if needed > self.num_free_blocks:\n                break\n            request", "            request"),
    _scheduler("budget_not_reduced", ADMISSION, ADMISSION.replace("            budget -= num_tokens\n", "")),
    _scheduler("budget_used_up", " and budget > 0", ""),
    _scheduler("no_seat", " and len(self.running) < config.max_num_seqs", ""),
    _scheduler("whole_prompt", "needed = blocks_needed(0, num_tokens, 0",
               "needed = blocks_needed(0, self.waiting[0].num_tokens, 0"),
    _scheduler("skips_head", "while not preempted and self.waiting and budget > 0 and len(self.running) < config.max_num_seqs:\n"
               + ADMISSION, """\
for request in list(self.waiting):
            num_tokens = self.share(request, budget) if budget else 0
            needed = blocks_needed(0, num_tokens, 0, config.block_size)
            if preempted or not num_tokens or len(self.running) == config.max_num_seqs or needed > self.num_free_blocks:
                continue
            self.waiting.remove(request)
            self.running.append(request)
            self.hold(request, needed)
            plan[request.request_id] = num_tokens
            budget -= num_tokens
"""),
    _scheduler("cut_to_fit", "            needed = blocks_needed(0, num_tokens, 0, config.block_size)\n", """\
            if self.num_free_blocks > 0:
                num_tokens = min(num_tokens, self.num_free_blocks * config.block_size)
            needed = blocks_needed(0, num_tokens, 0, config.block_size)
"""),
]

ALTERNATIVES = [
    Alternative("fair_cycle", "comprehension", source='''
def fair_cycle(active, chunk_size):
    if not chunk_size >= 1:
        raise ValueError("chunk_size")
    return {r.request_id: min(chunk_size, r.num_tokens - r.num_computed_tokens)
            for r in reversed(active) if r.num_output_tokens < r.max_tokens}
'''),
    Alternative("fair_cycle", "recursive", source='''
def fair_cycle(active, chunk_size):
    if chunk_size < 1:
        raise ValueError
    if not active:
        return {}
    *rest, last = active
    units = fair_cycle(rest, chunk_size)
    if len(last.output_token_ids) == last.max_tokens:
        return units
    return units | {last.request_id: len(range(last.num_computed_tokens, last.num_tokens)[:chunk_size])}
'''),
    Alternative("fair_cycle", "vectorised", source='''
from collections import OrderedDict

def fair_cycle(active, chunk_size):
    import torch
    if chunk_size < 1:
        raise ValueError(chunk_size)
    here = [r for r in active if not r.is_finished]
    left = torch.tensor([[r.num_tokens, r.num_computed_tokens] for r in here], dtype=torch.long).reshape(-1, 2)
    return OrderedDict(zip([r.request_id for r in here], (left[:, 0] - left[:, 1]).clamp(max=chunk_size)))
'''),
    Alternative("fair_cycle", "by_status", source='''
def fair_cycle(active, chunk_size):
    if chunk_size < 1:
        raise ValueError(chunk_size)
    here = (request for request in active if request.status is not RequestStatus.FINISHED)
    return {request.request_id: min(chunk_size, request.num_tokens - request.num_computed_tokens) for request in here}
'''),
    Alternative("fair_cycle", "decode_as_a_case", source='''
def fair_cycle(active, chunk_size):
    if chunk_size <= 0:
        raise ValueError("at least 1")
    units = dict()
    for request in active:
        if request.is_finished:
            continue
        left = request.num_tokens - request.num_computed_tokens
        if left == 1:
            units[request.request_id] = 1
        elif left < chunk_size:
            units[request.request_id] = left
        else:
            units[request.request_id] = chunk_size
    return units
'''),
    Alternative("blocks_needed", "math_ceil", source='''
def blocks_needed(num_computed_tokens, num_new_tokens, num_blocks_held, block_size):
    return max(math.ceil((num_computed_tokens + num_new_tokens) / block_size), num_blocks_held) - num_blocks_held
'''),
    Alternative("blocks_needed", "block_by_block", source='''
def blocks_needed(num_computed_tokens, num_new_tokens, num_blocks_held, block_size):
    new = 0
    while (num_blocks_held + new) * block_size < num_computed_tokens + num_new_tokens:
        new += 1
    return new
'''),
    Alternative("blocks_needed", "recursive", source='''
def blocks_needed(num_computed_tokens, num_new_tokens, num_blocks_held, block_size):
    places = num_blocks_held * block_size - num_computed_tokens
    if num_new_tokens <= places:
        return 0
    return 1 + blocks_needed(num_computed_tokens, num_new_tokens, num_blocks_held + 1, block_size)
'''),
    Alternative("preempt_tail", "other_order", source='''
def preempt_tail(scheduler):
    *rest, request = scheduler.running
    scheduler.running[:] = rest
    scheduler.waiting.insert(0, request)
    request.num_computed_tokens -= request.num_computed_tokens
    scheduler.num_free_blocks = scheduler.num_free_blocks + scheduler.blocks_held[request.request_id]
    del scheduler.blocks_held[request.request_id]
    request.status, request.num_preemptions = RequestStatus.PREEMPTED, 1 + request.num_preemptions
    return request
'''),
    Alternative("preempt_tail", "new_deque", source='''
from collections import deque

def preempt_tail(scheduler):
    request = scheduler.running[-1]
    scheduler.running = scheduler.running[:-1]
    scheduler.waiting = deque([request, *scheduler.waiting])
    request.num_computed_tokens = 0
    request.status = RequestStatus.PREEMPTED
    request.num_preemptions += 1
    scheduler.free(request)
    return request
'''),
    Alternative("preempt_tail", "rotated", source='''
def preempt_tail(scheduler):
    request = scheduler.running.pop(len(scheduler.running) - 1)
    scheduler.waiting.append(request)
    scheduler.waiting.rotate(1)
    scheduler.hold(request, -scheduler.blocks_held[request.request_id])
    scheduler.blocks_held.pop(request.request_id)
    request.num_computed_tokens = 0
    return request
'''),
    Alternative("PreemptiveScheduler", "for_loop_with_else", source='''
class PreemptiveScheduler(PooledScheduler):
    def schedule(self):
        left, plan, gone = self.config.max_num_batched_tokens, {}, []
        for request in list(self.running):
            if request.status is RequestStatus.PREEMPTED:
                break
            n = self.share(request, left)
            while self._new(request, n) > self.num_free_blocks:
                gone.append(preempt_tail(self).request_id)
                if gone[-1] == request.request_id:
                    break
            else:
                self._take(plan, request, n)
                left -= n
        if gone:
            return SchedulerOutput(plan, tuple(gone))
        while self.waiting and len(self.running) < self.config.max_num_seqs and left:
            n = self.share(self.waiting[0], left)
            if self._new(self.waiting[0], n) > self.num_free_blocks:
                break
            self._take(plan, self.admit(), n)
            left -= n
        return SchedulerOutput(plan)

    def _new(self, request, n):
        return blocks_needed(request.num_computed_tokens, n, self.blocks_held.get(request.request_id, 0),
                             self.config.block_size)

    def _take(self, plan, request, n):
        self.hold(request, self._new(request, n))
        plan[request.request_id] = n
'''),
    Alternative("PreemptiveScheduler", "blocks_derived_from_progress", source='''
class PreemptiveScheduler(Scheduler):
    def _blocks(self, request, n=0):
        return math.ceil((request.num_computed_tokens + n) / self.config.block_size)

    def _share(self, request, plan):
        left = self.config.max_num_batched_tokens - sum(plan.values())
        most = self.config.long_prefill_token_threshold
        return min([request.num_tokens - request.num_computed_tokens, left] + [most] * (most > 0))

    def _fits(self, request, n, plan):
        pool = self.config.num_kv_blocks
        others = sum(self._blocks(r, plan.get(r.request_id, 0)) for r in self.running if r is not request)
        return pool is None or others + self._blocks(request, n) <= pool

    def schedule(self):
        plan, gone, index = {}, [], 0
        while index < len(self.running):
            request = self.running[index]
            n = self._share(request, plan)
            if self._fits(request, n, plan):
                plan[request.request_id] = n
                index += 1
                continue
            tail = self.running.pop()
            tail.num_computed_tokens = 0
            tail.num_preemptions += 1
            tail.status = RequestStatus.PREEMPTED
            self.waiting.appendleft(tail)
            gone.append(tail.request_id)
        while self.waiting and not gone and len(self.running) < self.config.max_num_seqs:
            n = self._share(self.waiting[0], plan)
            if n == 0 or not self._fits(self.waiting[0], n, plan):
                break
            plan[self.admit().request_id] = n
        return SchedulerOutput(num_scheduled_tokens=plan, preempted_req_ids=tuple(gone))
'''),
    Alternative("PreemptiveScheduler", "recursive_passes", source='''
class PreemptiveScheduler(PooledScheduler):
    def schedule(self):
        plan, gone = {}, []
        self._run(0, self.config.max_num_batched_tokens, plan, gone)
        return SchedulerOutput(dict(reversed(plan.items())), tuple(reversed(gone)))

    def _run(self, place, budget, plan, gone):
        if place == len(self.running):
            return None if gone else self._admit(budget, plan)
        request = self.running[place]
        n = self.share(request, budget)
        needed = blocks_needed(request.num_computed_tokens, n, self.blocks_held[request.request_id],
                               self.config.block_size)
        if needed <= self.num_free_blocks:
            self.hold(request, needed)
            plan[request.request_id] = n
            return self._run(place + 1, budget - n, plan, gone)
        gone.append(preempt_tail(self).request_id)
        if gone[-1] != request.request_id:
            return self._run(place, budget, plan, gone)

    def _admit(self, budget, plan):
        if not self.waiting or budget == 0 or len(self.running) >= self.config.max_num_seqs:
            return
        n = self.share(self.waiting[0], budget)
        needed = blocks_needed(0, n, 0, self.config.block_size)
        if needed <= self.num_free_blocks:
            self.hold(self.waiting[0], needed)
            plan[self.admit().request_id] = n
            self._admit(budget - n, plan)
'''),
]
