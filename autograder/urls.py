"""Addresses that a release writes into the notebooks."""

COURSE_LIB_URL: str | None = None  # of a course_lib wheel, for Colab; without it Colab asks for an upload
