"""Hidden checks of notebook 07. Schedulers are driven step by step; blocks and progress are counted here."""

import random

from autograder.checking import Call, LearnerError, Result, Tally
from autograder.common_checks import check_choice, check_prediction
from autograder.preemption import PoolDrive, random_case, small_cases
from autograder.scheduling import Progress

MISCONCEPTIONS = {
    "no_guess": "A prediction is any finite number; it need not be right, it has to be there.",
    "padded": "A unit is longer than the work left: a decode step is one token, a last chunk only what is left.",
    "whole_prompt_unit": "A unit is one chunk of at most chunk_size tokens, not all that is left of a prompt.",
    "shared_chunk": "The chunk is shared out among the requests; every request gets a unit of its own.",
    "departed": "A finished request has departed and gets no unit.",
    "behind_finished": "Who stands behind a finished request gets nothing: a `break`, or a list changed while looping "
                       "over it.",
    "prompt_only": "The work left counts the output too: num_tokens, not num_prompt_tokens.",
    "one_each_turn": "Only one request gets a unit; in a cycle every active request gets one.",
    "decodes_only": "Requests amid their prompt get nothing as long as others can decode; a cycle serves all.",
    "counts_itself": "num_computed_tokens is changed while planning; update_from_output counts, once the work is done.",
    "held_ignored": "These are all the blocks of the request; take off those it holds already.",
    "rounded_down": "The number of blocks is rounded down; a block that is begun counts as a whole one.",
    "one_too_many": "One block too many where the tokens fill their blocks exactly: round up, do not add one.",
    "new_tokens_alone": "The new tokens are rounded up by themselves; its last block may have places left for them.",
    "held_unused": "Counted from the blocks that its computed tokens fill; it may hold more than these already.",
    "adds_held": "The blocks it holds are added, not taken off: the minus in front turns the whole parenthesis round.",
    "below_zero": "A request that holds more blocks than it needs, needs 0 new ones, not fewer.",
    "in_tokens": "This is a number of tokens; memory comes in blocks of block_size tokens.",
    "progress_kept": "The preempted request keeps its progress, but its keys and values are gone with its blocks.",
    "prompt_kept": "The preempted request counts as if its prompt were still in memory; that is gone too.",
    "outputs_lost": "The outputs of the preempted request are lost; they stay, its user has read them already.",
    "blocks_kept": "The blocks of the preempted request are not given back to the pool.",
    "still_held": "Its blocks are free again, but it still counts as holding them: `free` keeps both books.",
    "not_queued": "The preempted request is in no queue any more: nobody will ever run it.",
    "end_of_queue": "The preempted request comes to the end of `waiting`; it goes to the front.",
    "not_reported": "A request is preempted but not named in the SchedulerOutput: the engine would keep its cache.",
    "not_the_tail": "Somebody else than the last of `running` is preempted.",
    "planned_after_preemption": "A preempted request is planned: once it is the tail itself, the pass ends.",
    "overcommitted": "More blocks are in use than the pool has: preempt one after the other until what is needed is "
                     "free, then hold it.",
    "left_out": "A request whose blocks are not free is left out; the last of `running` has to be preempted for it.",
    "last_block": "More is preempted than needed: a request may take the very last free block.",
    "admits_after_preemption": "A request is admitted after a preemption in the same iteration: nobody may be then.",
    "skips_head": "The head of `waiting` is passed over for one behind it: stop at the first that does not fit.",
    "pool_ignored_for_new": "A new request is admitted though the blocks for its tokens are not free.",
    "no_seat": "More requests run than there are seats: admit only while fewer than max_num_seqs run.",
    "budget_used_up": "A request is admitted although nothing is left of the budget.",
    "budget_not_reduced": "More tokens are planned than the budget has: what one takes is gone for the next.",
    "whole_prompt": "A new request is kept out though the blocks for its tokens in this iteration are free: the rest "
                    "of its prompt does not have to fit yet.",
    "cut_to_fit": "A new request's tokens are cut to the free blocks: its share comes from rule 1 alone.",
    "back_of_queue": "The plan is right, but the requests wait in the wrong order: who is preempted goes to the front.",
}

CHOICES = {
    "halve_chunks": {
        "A": (False, "A decode step is one task, whatever the chunk size: O - 1 of the tasks stay as they are."),
        "B": (True, "Twice as many chunks for the prompt, as many decode steps, and the price of an iteration depends "
                    "on how many requests are active, not on how long their chunks are."),
        "C": (False, "A prompt of P tokens is cut into more chunks when they are shorter. And the scheduler handles a "
                     "number of tokens, not the tokens: a task costs it the same for 8 as for 800."),
        "D": (False, "For the model the tokens stay the same. But the scheduler works by tasks, and there are more."),
    },
}


def guess_tokens(call: Call) -> Result:
    """There is a guess."""
    return check_prediction(call, "guess_tokens", MISCONCEPTIONS["no_guess"])


def halve_chunks(call: Call) -> Result:
    """The right option."""
    return check_choice(call, CHOICES["halve_chunks"])


def fair_cycle(call: Call) -> Result:
    """Cycles with arrivals and departures on random workloads, played on the check's own count."""
    units, left_out = "one unit for every active request, as others arrive", "who has departed is left out"
    stay, refused = "the requests stay as they are", "chunk_size below 1 is refused"
    tally = Tally(units, left_out, stay, refused, edges=[stay, refused])
    changed = []
    for requirement in (units, units, left_out, left_out):
        chunk_size = random.randint(4, 12)
        cycles, plans = _play(chunk_size, departed_stay=requirement == left_out)
        payload = {"chunk_size": chunk_size, "cycles": [[vars(one) for one in cycle] for cycle in cycles]}
        got = call(payload)
        for cycle, plan, answer in zip(cycles, plans, got["cycles"], strict=True):
            shown = "; ".join(f"{one.request_id}: prompt {one.num_prompt_tokens}, output {one.num_output_tokens}/"
                              f"{one.max_tokens}, computed {one.num_computed_tokens}" for one in cycle)
            tally.equal(requirement, dict(answer), plan, given=f"fair_cycle([{shown}], chunk_size={chunk_size})",
                        wrong=_named(_wrong_cycles(cycle, chunk_size)))
        changed.append(got["changed"])
    # Last, since who takes departed requests out of the list changes it too, and is told so by the plans.
    for any_changed in changed:
        tally.true(stay, not any_changed, "a request is not as it was before fair_cycle",
                   MISCONCEPTIONS["counts_itself"])
    for chunk_size in (0, -2):
        try:
            call({"chunk_size": chunk_size, "cycles": [[]]})
            tally.true(refused, False, f"fair_cycle([], {chunk_size}) must raise ValueError")
        except LearnerError as error:
            tally.true(refused, error.type_name == "ValueError", str(error))
    return tally.result()


def _play(chunk_size: int, departed_stay: bool) -> tuple[list[list[Progress]], list[dict[str, int]]]:
    """Who is active in each cycle and what each gets, for requests that come one a cycle and depart when they are
    done; a departed one stays in the list for good where `departed_stay`."""
    sizes = [2 * chunk_size + random.randint(1, 3), random.randint(1, chunk_size), 3 * chunk_size, chunk_size + 1]
    coming = [Progress(f"r{number}", size, random.randint(1, 6)) for number, size in enumerate(sizes)]
    random.shuffle(coming)
    if departed_stay:  # the short one comes first and departs at once, so that others stand behind it
        coming.sort(key=lambda one: one.num_prompt_tokens > chunk_size)
        coming[0].max_tokens = 1
    here, cycles, plans = [], [], []
    while coming or any(one.num_output_tokens < one.max_tokens for one in here):
        here += coming[:1]
        coming = coming[1:]
        active = [one for one in here if one.num_output_tokens < one.max_tokens]
        plan = {one.request_id: 1 if one.num_output_tokens else min(chunk_size, one.left) for one in active}
        cycles.append([Progress(**vars(one)) for one in (here if departed_stay else active)])
        plans.append(plan)
        for one in active:
            one.num_computed_tokens += plan[one.request_id]
            one.num_output_tokens += one.left == 0
    return cycles, plans


def _wrong_cycles(cycle: list[Progress], chunk_size: int) -> list[tuple[dict[str, int], str]]:
    """What typical misconceptions would give."""
    active = [one for one in cycle if one.num_output_tokens < one.max_tokens]
    right = {one.request_id: min(one.left, chunk_size) for one in active}
    prompts = {one.request_id: min(one.num_prompt_tokens - one.num_computed_tokens, chunk_size) for one in active}
    return [
        ({one.request_id: min(one.left, chunk_size) for one in cycle}, "departed"),
        ({one.request_id: chunk_size for one in active}, "padded"),
        ({one.request_id: 1 if one.num_output_tokens else chunk_size for one in active}, "padded"),
        ({one.request_id: one.left for one in active}, "whole_prompt_unit"),
        ({key: min(tokens, max(1, chunk_size // len(active))) for key, tokens in right.items()}, "shared_chunk"),
        (prompts, "prompt_only"),
        # Before the next: who counts prompts only has shown it already, in a cycle without departed requests.
        *((plan, "behind_finished") for plan in _cut_short(cycle, right)),
        ({key: tokens for key, tokens in prompts.items() if tokens > 0}, "prompt_only"),
        (dict(list(right.items())[:1]), "one_each_turn"),
        ({one.request_id: 1 for one in active if one.num_output_tokens}, "decodes_only"),
    ]


def _cut_short(cycle: list[Progress], right: dict[str, int]) -> list[dict[str, int]]:
    """The plan up to the first finished request, and the one without whoever stands right behind one."""
    finished = [one.request_id not in right for one in cycle]
    first = finished.index(True) if any(finished) else len(cycle)
    behind = [index for index in range(1, len(cycle)) if finished[index - 1]]
    return [{one.request_id: right[one.request_id] for one in cycle[:first]},
            {one.request_id: right[one.request_id] for index, one in enumerate(cycle)
             if not finished[index] and index not in behind}]


def blocks_needed(call: Call) -> Result:
    """Counted place by place: which blocks of the table do the tokens touch that it does not hold?"""
    requirements = ("tokens that fill their blocks exactly", "a block that is begun", "places left in the last block")
    tally = Tally(*requirements, more := "more blocks than it needs", edges=[requirements[-1], more])
    for requirement in requirements * 4:
        wrong = _wrong_blocks(case := _blocks_case(requirement))
        while len({answer for answer, _ in wrong}) < len(wrong):  # so that each answer has one cause
            wrong = _wrong_blocks(case := _blocks_case(requirement))
        computed, new, held, size = case
        table = {position // size for position in range(computed + new)}
        got = call({"cases": [case]})["blocks"][0]
        tally.equal(requirement, got, len(table - set(range(held))), given=f"blocks_needed({computed}, {new}, {held}, "
                    f"{size})", wrong=_named(wrong))
    size, needed, spare = random.randint(5, 16), random.randint(1, 5), random.randint(1, 3)
    case = [needed * size - 2, random.randint(1, 2), needed + spare, size]
    tally.equal(more, call({"cases": [case]})["blocks"][0], 0, given=f"blocks_needed({', '.join(map(str, case))})",
                wrong=_named([(-spare, "below_zero")]))
    case = [needed * size - 2, random.randint(3, 2 + spare * size), needed + spare, size]
    begun = -(-sum(case[:2]) // size) - needed  # blocks that the new tokens begin; it holds them all
    tally.equal(more, call({"cases": [case]})["blocks"][0], 0, given=f"blocks_needed({', '.join(map(str, case))})",
                wrong=_named([(begun, "held_unused"), (begun - spare, "below_zero")]))
    return tally.result()


def _blocks_case(requirement: str) -> list[int]:
    """(computed, new, held, block size) of the kind that the requirement names."""
    size, held = random.randint(5, 16), random.randint(2, 6)
    if requirement == "tokens that fill their blocks exactly":
        return [size * held, size * random.randint(1, 4), held, size]
    if requirement == "a block that is begun":
        places = random.randint(0, size - 1)
        new = places + size * random.randint(0, 3) + random.randint(1, size - 1)
        return [size * held - places, new, held, size]
    places = random.randint(3, size - 1)
    return [size * held - places, random.randint(2, places - 1), held, size]


def _wrong_blocks(case: list[int]) -> list[tuple[int, str]]:
    """What typical misconceptions would answer, where that is wrong."""
    computed, new, held, size = case
    total = computed + new
    answers = [(-(-total // size), "held_ignored"), (total // size - held, "rounded_down"),
               (total // size + 1 - held, "one_too_many"), (-(-new // size), "new_tokens_alone"), (new, "in_tokens"),
               (total, "in_tokens"), (total - held * size, "in_tokens"), (-(-total // size) + held, "adds_held")]
    return list(dict.fromkeys(one for one in answers if one[0] != -(-total // size) - held))


def preempt_tail(call: Call) -> Result:
    """One and two preemptions in a row: the queues, the requests and the pool afterwards."""
    tally = Tally("the last of `running`, returned", "blocks go back to the pool", "progress is lost, outputs are kept",
                  "to the front of `waiting`")
    for times in (1, 2):
        running = [Progress(f"run {name}", size := random.randint(9, 30), 9, outputs := random.randint(2, 5),
                            size + outputs - 1) for name in "abc"]
        running += [Progress("run d", random.randint(20, 30), 9, 0, random.randint(8, 19))] * (times - 1)
        waiting = [Progress(f"wait {name}", random.randint(4, 30), 5) for name in "xy"]
        blocks = [-(-one.num_computed_tokens // 4) for one in running]
        config = {"max_num_batched_tokens": 16, "block_size": 4, "num_kv_blocks": sum(blocks) + random.randint(0, 3)}
        got = call({"config": config, "times": times, "waiting": [vars(one) for one in waiting],
                    "running": [vars(one) | {"blocks": held} for one, held in zip(running, blocks, strict=True)]})
        gone = [one.request_id for one in reversed(running)][:times]
        names = [one.request_id for one in running], [one.request_id for one in waiting]
        given = f"preempt_tail, {times} in a row, running {names[0]}, waiting {names[1]}"
        tally.equal("the last of `running`, returned", got["returned"], gone, given=f"{given}: whom it returns")
        tally.equal("the last of `running`, returned", got["running"], names[0][:-times], given=f"{given}: running")
        tally.equal("to the front of `waiting`", got["waiting"], gone[::-1] + names[1], given=f"{given}: waiting",
                    wrong=_named([(names[1] + gone, "end_of_queue"), (names[1] + gone[::-1], "end_of_queue"),
                                  (names[1], "not_queued")]))
        tally.equal("blocks go back to the pool", got["free"],
                    config["num_kv_blocks"] - sum(blocks[:-times]), given=f"{given}: free blocks",
                    wrong=_named([(config["num_kv_blocks"] - sum(blocks), "blocks_kept")]))
        held = dict(zip(names[0], blocks, strict=True))
        tally.equal("blocks go back to the pool", got["held"], {name: held[name] for name in names[0][:-times]},
                    given=f"{given}: blocks held", wrong=_named([(held, "still_held")]))
        everybody = running + waiting
        computed = {one.request_id: 0 if one.request_id in gone else one.num_computed_tokens for one in everybody}
        kept = {one.request_id: one.num_computed_tokens for one in everybody}
        prompt = {one.request_id: min(one.num_prompt_tokens, one.num_computed_tokens) if one.request_id in gone
                  else one.num_computed_tokens for one in everybody}
        tally.equal("progress is lost, outputs are kept", got["num_computed_tokens"], computed,
                    given=f"{given}: num_computed_tokens",
                    wrong=_named([(kept, "progress_kept"), (prompt, "prompt_kept")]))
        outputs = {one.request_id: [7 + number for number in range(one.num_output_tokens)] for one in everybody}
        lost = {key: [] if key in gone else tokens for key, tokens in outputs.items()}
        tally.equal("progress is lost, outputs are kept", got["outputs"], outputs, given=f"{given}: output tokens",
                    wrong=_named([(lost, "outputs_lost")]))
    return tally.result()


def PreemptiveScheduler(call: Call) -> Result:
    """Plans, preemptions, queues and outputs of small cases and of random workloads in tight pools."""
    cases = [*small_cases(), *(random_case() for _ in range(6))]
    tally = Tally(*dict.fromkeys(requirement for requirement, *_ in cases))
    for requirement, state, arrivals in cases:
        tokens = random.choices(range(1000), k=17)
        call({"config": state.config}, PoolDrive(tally, requirement, state, arrivals, tokens, MISCONCEPTIONS))
    return tally.result()


def _named(wrong: list[tuple[object, str]]) -> list[tuple[object, str]]:
    return [(answer, MISCONCEPTIONS[name]) for answer, name in wrong]
