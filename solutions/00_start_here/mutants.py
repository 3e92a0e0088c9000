"""Wrong and unusual answers of notebook 00."""

from autograder.mutants import Alternative, Mutant

MUTANTS = [
    Mutant("iterations_waited", old="= 1", new="= 0", misconception="nobody_waits"),
    Mutant("iterations_waited", old="= 1", new="= 3", misconception="counted_decodes"),
    Mutant("iterations_waited", old="= 1", new="= 4", misconception="counted_iterations"),
    Mutant("iterations_waited", old="= 1", new="= 24", misconception="counted_tokens"),
]

ALTERNATIVES = [
    Alternative("iterations_waited", "counted_from_the_plan",
                source='iterations_waited = ["21", "1", "12", "12"][1:].count("1")'),
    Alternative("iterations_waited", "a_float", source="iterations_waited = 1.0"),
    Alternative("iterations_waited", "a_sum", source="iterations_waited = len([1])"),
]
