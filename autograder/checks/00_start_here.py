"""Hidden checks of notebook 00."""

from autograder.checking import Call, Result, Tally

MISCONCEPTIONS = {
    "nobody_waits": "You counted no wait; but in the hatched box sequence 2 has a token and is not run.",
    "counted_decodes": "3 is how many decode steps sequence 2 gets; count the hatched boxes in its row.",
    "counted_iterations": "4 is the number of iterations in all; count the hatched boxes in sequence 2's row.",
    "counted_tokens": "24 is the length of the prompt in tokens; the question is about iterations, the columns.",
}


def iterations_waited(call: Call) -> Result:
    """The number read off the picture."""
    tally = Tally("iterations waited")
    wrong = [(0, "nobody_waits"), (3, "counted_decodes"), (4, "counted_iterations"), (24, "counted_tokens")]
    tally.equal("iterations waited", call({})["value"], 1, given="sequence 2 in the standard schedule",
                wrong=[(answer, MISCONCEPTIONS[name]) for answer, name in wrong])
    return tally.result()
