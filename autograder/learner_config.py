"""nbgrader for a learner: nbgrader_config.py of the bundle, and /etc/jupyter/nbgrader_config.py of a JupyterHub."""

import os

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "chunked_prefill"
if os.environ.get("NBGRADER_EXCHANGE"):  # the folder that all users share; without it there is no Assignment List
    c.Exchange.root = os.environ["NBGRADER_EXCHANGE"]

# For the Validate button: nbgrader's own limit is 30 seconds a cell, short for a slow machine.
c.Execute.timeout = 120
c.Execute.extra_arguments = ["--IPKernelApp.log_level=40"]
