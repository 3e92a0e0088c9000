"""Wrong solutions of notebook 03, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

TWO = '["P11", "D21", "P12", "D22"]'
THREE = '["P11", "D21", "P12", "D22", "P13", "D23"]'
HYBRID = '[["P11", "D21"], ["P12", "D22"], ["P13", "D23"]]'
GAPS = "return [later - earlier - 1 for earlier, later in zip(places, places[1:])]"
LOOP = '''    for j in range(max(len(chunks), len(decodes))):
        order += chunks[j:j + 1] + decodes[j:j + 1]
'''

MUTANTS = [
    Mutant("guess_price", old="= 1.5", new='= "  "', misconception="no_guess"),
    Mutant("order_two", old=TWO, new='["P11", "P12", "D21", "D22"]', misconception="prefill_first"),
    Mutant("order_two", old=TWO, new='["D21", "D22", "P11", "P12"]', misconception="decodes_first"),
    Mutant("order_two", old=TWO, new='["P12", "D21", "P11", "D22"]', misconception="chunks_swapped"),
    Mutant("order_two", old=TWO, new='["P11", "D22", "P12", "D21"]', misconception="decodes_swapped"),
    Mutant("order_two", old=TWO, new='["P11", "D21", "D22", "P12"]', misconception="two_in_a_row"),
    Mutant("order_two", old=TWO, new='["P11", "D21", "P12"]', misconception="unit_missing"),
    Mutant("order_three", old=THREE, new='["P11", "P12", "P13", "D21", "D22", "D23"]', misconception="prefill_first"),
    Mutant("order_three", old=THREE, new='["D21", "D22", "D23", "P11", "P12", "P13"]', misconception="decodes_first"),
    Mutant("order_three", old=THREE, new='["D21", "P11", "P12", "P13", "D22", "D23"]', misconception="two_in_a_row"),
    Mutant("order_three", old=THREE, new='["P11", "P12", "D21", "D22", "P13", "D23"]', misconception="two_in_a_row"),
    Mutant("order_three", old=THREE, new='["P13", "D21", "P12", "D22", "P11", "D23"]', misconception="chunks_swapped"),
    Mutant("order_three", old=THREE, new='["D23", "P11", "D22", "P12", "D21", "P13"]', misconception="decodes_swapped"),
    Mutant("order_three", old=THREE, new='["P11", "D21", "P12", "D22", "P13"]', misconception="unit_missing"),
    Mutant("order_hybrid", old=HYBRID, new='[["P11"], ["D21"], ["P12"], ["D22"], ["P13"], ["D23"]]',
           misconception="not_hybrid"),
    Mutant("order_hybrid", old=HYBRID, new='["P11", "D21", "P12", "D22", "P13", "D23"]', misconception="not_hybrid"),
    Mutant("order_hybrid", old=HYBRID, new='[["P11"], ["P12", "D21"], ["P13", "D22"], ["D23"]]',
           misconception="one_late"),
    Mutant("order_hybrid", old=HYBRID, new='[["P11", "D21", "D22"], ["P12", "D23"], ["P13"]]',
           misconception="several_steps"),
    Mutant("order_hybrid", old=HYBRID, new='[["P11", "P12", "P13"], ["D21", "D22"], ["D23"]]',
           misconception="several_steps"),
    Mutant("order_hybrid", old=HYBRID, new='[["P11", "D23"], ["P12", "D22"], ["P13", "D21"]]',
           misconception="decodes_swapped"),
    Mutant("order_hybrid", old=HYBRID, new='[["P13", "D21"], ["P12", "D22"], ["P11", "D23"]]',
           misconception="chunks_swapped"),
    Mutant("order_hybrid", old=HYBRID, new='[["P11", "D21"], ["P12", "D22"], ["P13"]]', misconception="unit_missing"),
    Mutant("decode_gaps", old="later - earlier - 1", new="later - earlier", misconception="distance"),
    Mutant("decode_gaps", old="later - earlier - 1", new="earlier - later", misconception="turned_round"),
    Mutant("decode_gaps", old="later - earlier - 1", new="earlier - later - 1", misconception="turned_round"),
    Mutant("decode_gaps", old="later - earlier - 1", new="later - earlier + 1", misconception="both_ends"),
    Mutant("decode_gaps", old=GAPS, new=f"if len(places) == 1:\n        return [0]\n    {GAPS}", misconception="lone_step"),
    Mutant("decode_gaps", old=GAPS, new="return places", misconception="places"),
    Mutant("decode_gaps", old="zip(places, places[1:])", new="zip([-1] + places, places)",
           misconception="before_first"),
    Mutant("decode_gaps", old="zip(places, places[1:])", new="zip(places, places[1:] + [len(order)])",
           misconception="after_last"),
    Mutant("decode_gaps", old="places[1:])]", new="places[1:]) if later > earlier + 1]",
           misconception="zeros_dropped"),
    Mutant("decode_gaps", old='startswith("D")', new='startswith("P")', misconception="chunk_gaps"),
    Mutant("decode_gaps", old=GAPS, new="return places[-1] - places[0] + 1 - len(places) if places else 0",
           misconception="total"),
    Mutant("interleave", old="max(", new="min(", misconception="rest_dropped"),
    Mutant("interleave", old=LOOP, new='''    from itertools import zip_longest
    for pair in zip_longest(chunks, decodes):
        order += pair
''', misconception="none_added"),
    Mutant("interleave", old="order += chunks[j:j + 1] + decodes[j:j + 1]",
           new="order.append(chunks[j:j + 1] + decodes[j:j + 1])", misconception="not_flat"),
    Mutant("interleave", old=LOOP, new="    order = list(zip(chunks, decodes))\n", misconception="not_flat"),
    Mutant("interleave", old=LOOP, new="    order = chunks + decodes\n", misconception="prefill_first"),
    Mutant("interleave", old=LOOP, new="    order = [*decodes, *chunks]\n", misconception="decodes_first"),
    Mutant("interleave", old=LOOP, new="    order = sorted(chunks + decodes, key=lambda label: label[2:])\n",
           misconception="sorted_labels"),
    Mutant("interleave", old=LOOP, new='''    chunks, decodes = list(chunks), list(decodes)
    while chunks or decodes:
        for units in (chunks, decodes):
            if units:
                order.append(units.pop())
''', misconception="taken_from_end"),
    Mutant("interleave", old=LOOP, new='''    while chunks or decodes:
        for units in (chunks, decodes):
            if units:
                order.append(units.pop(0))
''', misconception="lists_emptied"),
    Mutant("interleave", old=LOOP, new='''    for j in range(0, max(len(chunks), len(decodes)), 2):
        order += chunks[j:j + 2] + decodes[j:j + 2]
''', misconception="two_at_a_time"),
    Mutant("interleave", old=LOOP, new='''    more = len(chunks) - len(decodes)
    if more > 0:
        order, chunks = chunks[:more], chunks[more:]
    for j in range(max(len(chunks), len(decodes))):
        order += chunks[j:j + 1] + decodes[j:j + 1]
''', misconception="rest_first"),
    Mutant("interleave", old=LOOP, new='''    size = max(1, len(chunks) // max(1, len(decodes)))
    for j, decode in enumerate(decodes):
        order += chunks[j * size:(j + 1) * size] + [decode]
    order += chunks[len(decodes) * size:]
''', misconception="spread_evenly"),
]

ALTERNATIVES = [
    Alternative("order_two", "decode_first", source='order_two = ["D21", "P11", "D22", "P12"]'),
    Alternative("order_two", "tuple_with_subscripts", source='order_two = ("P₁₁", "D₂₁", "P₁₂", "D₂₂")'),
    Alternative("order_two", "written_out", source='order_two = "d21 p11 d22 p12".split()'),
    Alternative("order_three", "decode_first", source='order_three = ["D21", "P11", "D22", "P12", "D23", "P13"]'),
    Alternative("order_three", "made_by_a_loop", source='''
order_three = [f"{kind}{j}" for j in (1, 2, 3) for kind in ("P1", "D2")]
'''),
    Alternative("order_three", "lists_of_one", source='''
order_three = [["P11"], ["D21"], ["P12"], ["D22"], ["P13"], ["D23"]]
'''),
    Alternative("order_hybrid", "decode_first", source='''
order_hybrid = [["D21", "P11"], ["P12", "D22"], ["D23", "P13"]]
'''),
    Alternative("order_hybrid", "tuples", source='''
order_hybrid = tuple(zip(("P11", "P12", "P13"), ("D21", "D22", "D23")))
'''),
    Alternative("order_hybrid", "sets", source='order_hybrid = [{"P11", "D21"}, {"D22", "P12"}, {"P13", "D23"}]'),
    Alternative("decode_gaps", "counter", source='''
def decode_gaps(order):
    gaps, since = [], None
    for label in order:
        if label[0] == "D":
            if since is not None:
                gaps.append(since)
            since = 0
        elif since is not None:
            since += 1
    return gaps
'''),
    Alternative("decode_gaps", "split_text", source='''
def decode_gaps(order):
    return [len(between) for between in "".join(label[0] for label in order).split("D")[1:-1]]
'''),
    Alternative("decode_gaps", "torch", source='''
import torch
def decode_gaps(order):
    places = torch.tensor([i for i, label in enumerate(order) if label.startswith("D")], dtype=torch.long)
    return places.diff() - 1
'''),
    Alternative("decode_gaps", "recursive", source='''
def decode_gaps(order):
    places = [i for i, label in enumerate(order) if label.startswith("D")]
    if len(places) < 2:
        return []
    return (places[1] - places[0] - 1,) + tuple(decode_gaps(order[places[1]:]))
'''),
    Alternative("interleave", "decodes_start", source='''
def interleave(chunks, decodes):
    both = min(len(chunks), len(decodes))
    turns = [label for pair in zip(decodes, chunks) for label in pair]
    return turns + chunks[both:] + decodes[both:]
'''),
    Alternative("interleave", "recursive_swap", source='''
def interleave(chunks, decodes):
    if not chunks:
        return list(decodes)
    return [chunks[0]] + interleave(decodes, chunks[1:])
'''),
    Alternative("interleave", "the_longer_starts", source='''
def interleave(chunks, decodes):
    first, second = sorted([chunks, decodes], key=len, reverse=True)
    merged = []
    for j, label in enumerate(first):
        merged.append(label)
        merged.extend(second[j:j + 1])
    return tuple(merged)
'''),
    Alternative("interleave", "sorted_by_turn", source='''
def interleave(chunks, decodes):
    turns = [(j, 0, label) for j, label in enumerate(chunks)] + [(j, 1, label) for j, label in enumerate(decodes)]
    return [label for _, _, label in sorted(turns)]
'''),
    Alternative("interleave", "generator", source='''
from collections import deque
def interleave(chunks, decodes):
    now, then = deque(chunks), deque(decodes)
    def turns():
        a, b = now, then
        while a or b:
            if a:
                yield a.popleft()
            a, b = b, a
    return list(turns())
'''),
]
