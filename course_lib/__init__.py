"""The library of the course on chunked prefill: a toy transformer, an engine, and a scheduler skeleton.

Importing it loads torch, but neither matplotlib nor ipywidgets; `course_lib.plots` and `course_lib.widgets` do.
"""
