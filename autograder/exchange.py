"""The folder through which nbgrader's release, submit, collect and feedback go, shared by all users of a machine."""

import os
from pathlib import Path

from autograder.course import Course


def folder(course: Course) -> Path:
    """The folder that `NBGRADER_EXCHANGE` names, or one of the course's own; made when it is not there.

    nbgrader wants it writable by everybody; what it makes inside is not. SystemExit when it cannot be used.
    """
    named = os.environ.get("NBGRADER_EXCHANGE")
    exchange = Path(named or course.grading / "exchange")
    try:
        if not exchange.is_dir():
            exchange.mkdir(parents=True)
            if named:
                exchange.chmod(0o1777)  # as /tmp: nobody removes what is another's
    except OSError as error:
        which = f"NBGRADER_EXCHANGE names {named}, which" if named else f"The exchange {exchange}"
        raise SystemExit(f"{which} cannot be made a folder ({error.strerror}); name one that every account can write "
                         "to, with an absolute path, or unset NBGRADER_EXCHANGE to do without one") from error
    return exchange
