"""Wrong solutions of notebook 02, each with its misconception, and unusual ones that are right."""

from autograder.mutants import Alternative, Mutant

MUTANTS = [
    Mutant("guess_ratio", old="= 5", new="= None", misconception="no_guess"),
    Mutant("split_into_chunks", old="for start in starts]", new="for start in starts if start + chunk_size <= num_tokens]",
           misconception="tail_dropped"),
    Mutant("split_into_chunks", old="min(start + chunk_size, num_tokens)", new="start + chunk_size",
           misconception="tail_padded"),
    Mutant("split_into_chunks", old="min(start + chunk_size, num_tokens)", new="min(start + chunk_size, num_tokens) - 1",
           misconception="end_off_by_one"),
    Mutant("split_into_chunks", old="range(start, min(start + chunk_size, num_tokens))",
           new="range(min(chunk_size, num_tokens - start))", misconception="ranges_restart"),
    Mutant("split_into_chunks", old="return [range(start, min(start + chunk_size, num_tokens)) for start in starts]",
           new="return [part.tolist() for part in torch.arange(num_tokens).tensor_split(chunk_size) if len(part)]",
           misconception="number_of_chunks"),
    Mutant("split_into_chunks", old="    return [",
           new="    chunk_size = -(-num_tokens // len(starts))\n    starts = range(0, num_tokens, chunk_size)\n    return [",
           misconception="balanced"),
    Mutant("prefill_chunk", old="<= positions[:, None]", new=">= positions[:, None]", misconception="turned_round"),
    Mutant("prefill_chunk", old="    return model.forward_chunk(token_ids, positions, mask, cache)",
           new="    logits = model.forward_chunk(token_ids, positions, mask, cache)\n"
               "    cache.num_computed_tokens += len(token_ids)\n    return logits", misconception="counted_twice"),
    Mutant("chunked_prefill", old="    for chunk in", new="    cache = model.new_cache(len(token_ids))\n    for chunk in",
           misconception="own_cache"),
    Mutant("prefill_chunk", old="positions = torch.arange(start, end)", new="positions = torch.arange(len(token_ids))",
           misconception="positions_restart"),
    Mutant("prefill_chunk", old="forward_chunk(token_ids, positions,", new="forward_chunk(token_ids, positions + 1,",
           misconception="positions_off_by_one"),
    Mutant("prefill_chunk", old="mask = columns[None, :] <= positions[:, None]",
           new="mask = torch.ones(len(token_ids), len(token_ids)).tril().bool()", misconception="square_mask"),
    Mutant("prefill_chunk", old="mask = columns[None, :] <= positions[:, None]",
           new="mask = torch.ones(len(token_ids), end).tril().bool()", misconception="top_left_mask"),
    Mutant("prefill_chunk", old="mask = columns[None, :] <= positions[:, None]",
           new="mask = torch.ones(len(token_ids), end, dtype=torch.bool)", misconception="not_causal"),
    Mutant("prefill_chunk", old="<= positions[:, None]", new="> positions[:, None]", misconception="inverted_mask"),
    Mutant("prefill_chunk", old="<= positions[:, None]", new="<= positions[:, None] + 1", misconception="sees_next"),
    Mutant("prefill_chunk", old="columns[None, :] <= positions", new="columns[None, :] < positions",
           misconception="not_itself"),
    Mutant("chunked_prefill", old="        logits = prefill_chunk(model, token_ids[chunk.start:chunk.stop], chunk.start, cache)",
           new="        if len(chunk) < chunk_size and chunk.start:\n            break\n"
               "        logits = prefill_chunk(model, token_ids[chunk.start:chunk.stop], chunk.start, cache)",
           misconception="tail_dropped"),
    Mutant("chunked_prefill", old="chunk.start, cache)\n", new="chunk.start, cache)\n        first = logits if chunk.start == 0 else first\n    logits = first\n",
           misconception="not_last_logits"),
    Mutant("chunked_prefill", old="    return logits", new="        return logits", misconception="return_in_loop"),
    Mutant("chunked_prefill", old="split_into_chunks(len(token_ids), chunk_size)",
           new="split_into_chunks(len(token_ids), len(token_ids))", misconception="one_shot"),
    Mutant("chunked_prefill", old="token_ids[chunk.start:chunk.stop], chunk.start, cache", new="token_ids[chunk.start:chunk.stop], 0, cache",
           misconception="start_stuck"),
    Mutant("chunked_prefill", old="token_ids[chunk.start:chunk.stop], chunk.start", new="token_ids[:chunk.stop], chunk.start",
           misconception="whole_prompt_again"),
    Mutant("chunked_prefill", old="        logits = prefill_chunk(model, token_ids[chunk.start:chunk.stop], chunk.start, cache)",
           new="        if chunk.start:\n            prefill_chunk(model, [int(logits.argmax())], chunk.start, cache)\n"
               "        logits = prefill_chunk(model, token_ids[chunk.start:chunk.stop], cache.num_computed_tokens, cache)",
           misconception="samples_between"),
]

ALTERNATIVES = [
    Alternative("split_into_chunks", "recursive", source='''
def split_into_chunks(num_tokens, chunk_size, start=0):
    if chunk_size < 1:
        raise ValueError("chunk_size")
    if start >= num_tokens:
        return []
    return [range(start, min(start + chunk_size, num_tokens)), *split_into_chunks(num_tokens, chunk_size, start + chunk_size)]
'''),
    Alternative("split_into_chunks", "slices_of_one_range", source='''
def split_into_chunks(num_tokens, chunk_size):
    if not chunk_size > 0:
        raise ValueError
    positions, chunks = range(num_tokens), []
    while positions:
        chunks.append(positions[:chunk_size])
        positions = positions[chunk_size:]
    return tuple(chunks)
'''),
    Alternative("split_into_chunks", "torch_split", source='''
def split_into_chunks(num_tokens, chunk_size):
    if chunk_size < 1:
        raise ValueError("no")
    return list(torch.arange(num_tokens).split(chunk_size))
'''),
    Alternative("prefill_chunk", "triangle", source='''
def prefill_chunk(model, token_ids, start, cache):
    n = len(token_ids)
    mask = torch.ones(n, start + n, dtype=torch.bool).tril(diagonal=start)
    return model.forward_chunk(token_ids, torch.arange(n) + start, mask, cache)
'''),
    Alternative("prefill_chunk", "python_lists", source='''
def prefill_chunk(model, token_ids, start, cache):
    positions = [start + i for i, _ in enumerate(token_ids)]
    rows = []
    for position in positions:
        rows.append([column <= position for column in range(start + len(token_ids))])
    return model.forward_chunk(list(token_ids), torch.tensor(positions), torch.tensor(rows), cache)
'''),
    Alternative("prefill_chunk", "past_and_square", source='''
def prefill_chunk(model, token_ids, start, cache):
    n, past = len(token_ids), cache.num_computed_tokens
    seen = torch.cat([torch.ones(n, past), torch.tril(torch.ones(n, n))], dim=1) > 0
    return model.forward_chunk(token_ids=token_ids, positions=torch.arange(past, past + n), mask=seen, cache=cache)
'''),
    Alternative("chunked_prefill", "while_loop", source='''
def chunked_prefill(model, token_ids, chunk_size, cache):
    done = 0
    while done < len(token_ids):
        logits = prefill_chunk(model, token_ids[done:done + chunk_size], done, cache)
        done = cache.num_computed_tokens
    return logits
'''),
    Alternative("chunked_prefill", "list_of_all_logits", source='''
def chunked_prefill(model, token_ids, chunk_size, cache):
    return [prefill_chunk(model, [token_ids[i] for i in chunk], chunk[0], cache)
            for chunk in split_into_chunks(len(token_ids), chunk_size)][-1]
'''),
    Alternative("chunked_prefill", "recursive", source='''
def chunked_prefill(model, token_ids, chunk_size, cache, start=0):
    logits = prefill_chunk(model, token_ids[start:start + chunk_size], start, cache)
    if start + chunk_size >= len(token_ids):
        return logits
    return chunked_prefill(model, token_ids, chunk_size, cache, start + chunk_size)
'''),
]
