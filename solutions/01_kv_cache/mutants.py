"""Wrong solutions of notebook 01, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

KEYS = 'held["keys"] = torch.cat([held["keys"], k], dim=1)'
VALUES = 'held["values"] = torch.cat([held["values"], v], dim=1)'
BOTH = f"{KEYS}\n    {VALUES}"
POSITIONS = "positions = torch.arange(kv_len - q_len, kv_len)"
COMPARED = "columns[None, :] <= positions[:, None]"
REFUSED = "if kv_len < q_len:"
MASKED = 'scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)'
APPENDED = "append_kv(cache, layer, k, v)"
LOOKED_UP = 'keys, values = cache[layer]["keys"], cache[layer]["values"]'
WRITE = '        build_order.append(f"write K/V of chunk {chunk}, layer {layer}")\n'
ATTEND = '        build_order.append(f"attend in layer {layer}: cache + chunk {chunk}")\n'
CHUNKS = "for chunk in (1, 2, 3):"
SAMPLE = 'build_order.append("sample the first token from chunk 3\'s last logits")'

MUTANTS = [
    Mutant("guess_speedup", old="= 12", new="= None", misconception="no_guess"),
    Mutant("append_kv", old=BOTH, new=BOTH.replace('held["keys"] =', "keys =").replace('held["values"] =', "values ="),
           misconception="not_stored"),
    Mutant("append_kv", old=BOTH, new='held["keys"] = k\n    held["values"] = v', misconception="replaced"),
    Mutant("append_kv", old=BOTH, new='held["keys"] = torch.cat([k, held["keys"]], dim=1)\n'
                                      '    held["values"] = torch.cat([v, held["values"]], dim=1)',
           misconception="in_front"),
    Mutant("append_kv", old=VALUES, new="pass", misconception="keys_only"),
    Mutant("append_kv", old=VALUES, new='held["values"] = held["keys"]', misconception="keys_as_values"),
    Mutant("append_kv", old=BOTH, new=BOTH.replace("k]", "?]").replace("v]", "k]").replace("?]", "v]"),
           misconception="swapped"),
    Mutant("append_kv", old=KEYS, new=f"held = cache[0]\n    {KEYS}", misconception="layer_0"),
    Mutant("append_kv", old=BOTH, new=f"for held in cache:\n        {KEYS}\n        {VALUES}", misconception="every_layer"),
    Mutant("append_kv", old=BOTH, new=BOTH.replace("dim=1", "dim=0"), misconception="wrong_dimension"),
    Mutant("append_kv", old=BOTH, new=BOTH.replace("dim=1", "dim=-1"), misconception="wrong_dimension"),
    Mutant("causal_mask", old=POSITIONS, new="positions = torch.arange(q_len)", misconception="top_left_mask"),
    Mutant("causal_mask", old="columns = torch.arange(kv_len)",
           new="positions = columns = torch.arange(q_len)", misconception="square_mask"),
    Mutant("causal_mask", old=COMPARED, new="torch.ones(q_len, kv_len, dtype=torch.bool)", misconception="not_causal"),
    Mutant("causal_mask", old=COMPARED, new=f"{COMPARED} + 1", misconception="sees_next"),
    Mutant("causal_mask", old="columns[None, :] <= ", new="columns[None, :] < ", misconception="not_itself"),
    Mutant("causal_mask", old="columns[None, :] <= ", new="columns[None, :] > ", misconception="inverted"),
    Mutant("causal_mask", old="columns[None, :] <= ", new="columns[None, :] >= ", misconception="turned_round"),
    Mutant("causal_mask", old=COMPARED, new=f"({COMPARED}).long()", misconception="numbers"),
    Mutant("causal_mask", old=COMPARED, new=f"torch.where({COMPARED}, 0.0, float('-inf'))", misconception="numbers"),
    Mutant("causal_mask", old=COMPARED, new="columns[:, None] <= positions[None, :]", misconception="transposed"),
    Mutant("causal_mask", old=REFUSED, new="if False:", misconception="no_refusal"),
    Mutant("attend", old=" / math.sqrt(q.shape[-1])", new="", misconception="no_scale"),
    Mutant("attend", old="math.sqrt(q.shape[-1])", new="q.shape[-1]", misconception="no_root"),
    Mutant("attend", old="math.sqrt(q.shape[-1])", new="math.sqrt(2)", misconception="root_of_2"),
    Mutant("attend", old=MASKED, new="(scores + mask).softmax(dim=-1)", misconception="mask_added"),
    Mutant("attend", old="return weights @ v", new="return weights", misconception="weights_returned"),
    Mutant("attend", old=".softmax(dim=-1)", new="", misconception="no_softmax"),
    Mutant("attend", old=MASKED, new="scores * mask", misconception="no_softmax"),
    Mutant("attend", old="return weights @ v", new="return weights @ v[:1]", misconception="head_0_values"),
    Mutant("attend", old=MASKED, new="scores.softmax(dim=-1)", misconception="mask_unused"),
    Mutant("attend", old="masked_fill(~mask", new="masked_fill(mask", misconception="hides_allowed"),
    Mutant("attend", old=MASKED, new="(scores * mask).softmax(dim=-1)", misconception="zero_score"),
    Mutant("attend", old=MASKED, new="scores.softmax(dim=-1).masked_fill(~mask, 0)", misconception="mask_too_late"),
    Mutant("attend", old="dim=-1", new="dim=1", misconception="over_queries"),
    Mutant("attend", old="dim=-1", new="dim=0", misconception="over_heads"),
    Mutant("cached_attention", old=f"{APPENDED}\n    {LOOKED_UP}", new=f"{LOOKED_UP}\n    {APPENDED}",
           misconception="too_soon"),
    Mutant("cached_attention", old=LOOKED_UP, new="keys, values = k, v", misconception="chunk_alone"),
    Mutant("cached_attention", old="causal_mask(q.shape[1], keys.shape[1])",
           new="torch.ones(q.shape[1], keys.shape[1], dtype=torch.bool)", misconception="cache_unmasked"),
    Mutant("cached_attention", old="causal_mask(q.shape[1], keys.shape[1])",
           new="causal_mask(keys.shape[1], keys.shape[1])[:q.shape[1]]", misconception="top_left_mask"),
    Mutant("cached_attention", old=f"{APPENDED}\n    {LOOKED_UP}",
           new='keys = torch.cat([cache[layer]["keys"], k], dim=1)\n    values = torch.cat([cache[layer]["values"], v], dim=1)',
           misconception="nothing_kept"),
    Mutant("cached_attention", old=f"{APPENDED}\n", new=f"{APPENDED}\n    {APPENDED}\n", misconception="written_twice"),
    Mutant("cached_attention", old=APPENDED, new="layer = 0\n    append_kv(cache, layer, k, v)", misconception="layer_0"),
    Mutant("cached_attention", old=LOOKED_UP, new=LOOKED_UP.replace("[layer]", "[0]"), misconception="one_layer"),
    Mutant("cached_attention", old=LOOKED_UP,
           new='keys, values = (torch.cat([cache[layer]["keys"], k], 1), torch.cat([cache[layer]["values"], v], 1))',
           misconception="appended_again"),
    Mutant("cached_attention", old="attend(q, keys, values, mask)", new="attend(q, keys, keys, mask)",
           misconception="keys_mixed"),
    Mutant("build_order", old=SAMPLE, new="build_order = None", misconception="no_order"),
    Mutant("build_order", old='    build_order.append(f"embed chunk {chunk}")\n    for layer in (0, 1):\n' + WRITE + ATTEND,
           new="    for layer in (0, 1):\n" + WRITE + ATTEND + '    build_order.append(f"embed chunk {chunk}")\n',
           misconception="embed_first"),
    Mutant("build_order", old=WRITE + ATTEND, new=ATTEND + WRITE, misconception="write_first"),
    Mutant("build_order", old="for layer in (0, 1):", new="for layer in (1, 0):", misconception="layer_below"),
    Mutant("build_order", old=WRITE + ATTEND, new=WRITE + "    for layer in (0, 1):\n" + ATTEND,
           misconception="layer_below"),
    Mutant("build_order", old=CHUNKS, new="for chunk in (3, 2, 1):", misconception="prompt_order"),
    Mutant("build_order", old=SAMPLE, new=f'''{SAMPLE}
build_order = [f"embed chunk {{chunk}}" for chunk in (1, 2, 3)]
for layer in (0, 1):
    build_order += [f"write K/V of chunk {{chunk}}, layer {{layer}}" for chunk in (1, 2, 3)]
    build_order += [f"attend in layer {{layer}}: cache + chunk {{chunk}}" for chunk in (1, 2, 3)]
{SAMPLE}''', misconception="mask_is_last"),
    Mutant("build_order", old=SAMPLE, new=SAMPLE.replace("append(", "insert(-1, "), misconception="sampled_early"),
    Mutant("build_order", old=SAMPLE, new=f'''build_order.insert(5, "sample a token from chunk 1's logits")
{SAMPLE}''', misconception="samples_chunk_1"),
    Mutant("build_order", old=SAMPLE, new=f'build_order.insert(5, "recompute K/V of chunk 1")\n{SAMPLE}',
           misconception="recomputes"),
]

ALTERNATIVES = [
    Alternative("append_kv", "a_new_dict", source='''
def append_kv(cache, layer, k, v):
    held = cache[layer]
    cache[layer] = {name: torch.cat((held[name], new), 1) for name, new in (("values", v), ("keys", k))}
'''),
    Alternative("append_kv", "copy_into_a_longer_tensor", source='''
def append_kv(cache, layer, k, v):
    for name, new in {"keys": k, "values": v}.items():
        old = cache[layer][name]
        longer = old.new_zeros(old.shape[0], old.shape[1] + new.shape[1], old.shape[2])
        longer[:, :old.shape[1]] = old
        longer[:, old.shape[1]:] = new
        cache[layer][name] = longer
'''),
    Alternative("append_kv", "head_by_head", source='''
def append_kv(cache, layer, k, v):
    held = cache[layer]
    heads = range(k.shape[0])
    held.update(keys=torch.stack([torch.vstack([held["keys"][h], k[h]]) for h in heads]),
                values=torch.stack([torch.vstack([held["values"][h], v[h]]) for h in heads]))
'''),
    Alternative("causal_mask", "triangle", source='''
def causal_mask(q_len, kv_len):
    if q_len > kv_len:
        raise ValueError
    return torch.ones(q_len, kv_len, dtype=torch.bool).tril(diagonal=kv_len - q_len)
'''),
    Alternative("causal_mask", "rows_of_lists", source='''
def causal_mask(q_len, kv_len):
    past = kv_len - q_len
    if past < 0:
        raise ValueError("the cache is too short")
    return torch.tensor([[True] * (past + row + 1) + [False] * (q_len - row - 1) for row in range(q_len)])
'''),
    Alternative("causal_mask", "past_beside_a_square", source='''
def causal_mask(q_len, kv_len):
    if not q_len <= kv_len:
        raise ValueError("q_len")
    square = torch.triu(torch.ones(q_len, q_len), 1) == 0
    return torch.hstack([torch.full((q_len, kv_len - q_len), True), square])
'''),
    Alternative("causal_mask", "last_rows_of_a_square", source='''
def causal_mask(q_len, kv_len):
    if kv_len < q_len:
        raise ValueError("too few keys")
    return ~torch.ones(kv_len, kv_len).triu(1).bool()[kv_len - q_len:]
'''),
    Alternative("attend", "einsum_and_where", source='''
def attend(q, k, v, mask):
    scores = torch.einsum("hqd,hkd->hqk", q, k) * k.shape[2] ** -0.5
    return torch.einsum("hqk,hkd->hqd", torch.where(mask, scores, -torch.inf).softmax(2), v)
'''),
    Alternative("attend", "exp_by_hand", source='''
def attend(q, k, v, mask):
    scores = torch.matmul(q / math.sqrt(q.shape[-1]), k.mT)
    scores = scores - scores.amax(dim=-1, keepdim=True)
    parts = scores.exp() * mask
    return parts @ v / parts.sum(-1, keepdim=True)
'''),
    Alternative("attend", "query_by_query", source='''
def attend(q, k, v, mask):
    out = torch.empty_like(q)
    for h in range(len(q)):
        for i, row in enumerate(mask):
            weights = torch.softmax(k[h][row] @ q[h, i] / q.shape[-1] ** 0.5, dim=0)
            out[h, i] = weights @ v[h][row]
    return out
'''),
    Alternative("attend", "additive_mask", source='''
def attend(q, k, v, mask):
    bias = torch.zeros(mask.shape).masked_fill(mask.logical_not(), float("-inf"))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
'''),
    Alternative("cached_attention", "one_line", source='''
def cached_attention(cache, layer, q, k, v):
    append_kv(cache, layer, k=k, v=v)
    return attend(q, *cache[layer].values(), causal_mask(k.shape[1], cache[layer]["values"].shape[1]))
'''),
    Alternative("cached_attention", "token_by_token", source='''
def cached_attention(cache, layer, q, k, v):
    rows = []
    for i in range(q.shape[1]):
        append_kv(cache, layer, k[:, i:i + 1], v[:, i:i + 1])
        keys = cache[layer]["keys"]
        rows.append(attend(q[:, i:i + 1], keys, cache[layer]["values"], causal_mask(1, keys.shape[1])))
    return torch.cat(rows, dim=1)
'''),
    Alternative("cached_attention", "without_the_helpers", source='''
def cached_attention(cache, layer, q, k, v):
    held = cache[layer]
    past = held["keys"].shape[1]
    held["keys"], held["values"] = torch.cat([held["keys"], k], 1), torch.cat([held["values"], v], 1)
    mask = torch.ones(q.shape[1], past + q.shape[1]).tril(past) > 0
    return torch.nn.functional.scaled_dot_product_attention(q, held["keys"], held["values"], attn_mask=mask)
'''),
    Alternative("build_order", "embedded_first_in_a_tuple", source='''
build_order = tuple([f"embed chunk {c}" for c in (3, 1, 2)]
                    + [step for c in (1, 2, 3) for layer in (0, 1)
                       for step in (f"write K/V of chunk {c}, layer {layer}", f"attend in layer {layer}: cache + chunk {c}")]
                    + ["sample the first token from chunk 3's last logits "])
'''),
    Alternative("build_order", "layer_by_layer", source='''
build_order = [f"embed chunk {chunk}" for chunk in (1, 2, 3)]
for layer in (0, 1):
    for chunk in (1, 2, 3):
        build_order += [f"write K/V of chunk {chunk}, layer {layer}", f"attend in layer {layer}: cache + chunk {chunk}"]
build_order += ["sample the first token from chunk 3's last logits"]
'''),
    Alternative("build_order", "a_pipeline", source='''
build_order = []
for step in range(4):  # chunk c is in layer l when c + l = step
    for layer in (1, 0):
        chunk = step - layer + 1
        if 1 <= chunk <= 3:
            build_order += [f"embed chunk {chunk}"] * (layer == 0)
            build_order += [f"write K/V of chunk {chunk}, layer {layer}", f"attend in layer {layer}: cache + chunk {chunk}"]
build_order.append("sample the first token from chunk 3's last logits")
'''),
]
