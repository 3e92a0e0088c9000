"""The nbgrader course: release, hidden checks, grading. Learners never import it."""
