"""Addresses that a release writes into the notebooks. Set them here, then run `make release` or `make bundle`."""

# Where the notebooks can be opened in Colab, each at URL/NN_name/NN_name.ipynb: then every notebook carries a badge.
# For instance "https://colab.research.google.com/github/OWNER/REPOSITORY/blob/main/notebooks".
COLAB_URL: str | None = None
# Of a course_lib wheel (`make wheel`), for the first cell on Colab; without it that cell asks for an upload.
COURSE_LIB_URL: str | None = None
