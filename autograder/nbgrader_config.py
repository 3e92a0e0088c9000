"""The nbgrader course. Run nbgrader's commands, and JupyterLab with formgrader, in this folder."""

import os
import sys
from pathlib import Path

from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    IgnorePattern,
    LimitOutput,
    OverwriteCells,
    OverwriteKernelspec,
)

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))
# Kernels that grade need course_lib and autograder, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
# nbgrader runs `alembic`, which lies beside the interpreter, to make a gradebook.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

from autograder import exchange  # noqa: E402
from autograder.course import Course  # noqa: E402
from autograder.preprocessors import DropDuplicates, SaveGrades  # noqa: E402

course = Course.current()
c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "chunked_prefill"
c.CourseDirectory.root = str(course.root)
c.CourseDirectory.db_url = course.database
c.CourseDirectory.source_directory = "build/source"  # made by `python -m autograder release`
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.submitted_directory = "autograder/submitted"
c.CourseDirectory.autograded_directory = "autograder/autograded"
c.CourseDirectory.feedback_directory = "autograder/feedback"

c.Exchange.root = str(exchange.folder(course))

# `nbgrader zip_collect` reads the downloads of Canvas and Moodle in autograder/downloaded/ASSIGNMENT/archive/.
c.ZipCollectApp.downloaded_directory = "autograder/downloaded"
c.ZipCollectApp.collector_plugin = "autograder.lms.LmsCollector"

c.ClearSolutions.code_stub = {
    "python": "# Your code starts here: replace the next line.\n"
              'raise NotImplementedError("<not written yet>")\n'
              "# Your code ends here."
}
c.ClearSolutions.text_stub = "*Write your answer here.*"

c.Autograde.sanitize_preprocessors = [
    ClearOutput, DropDuplicates, OverwriteKernelspec, OverwriteCells, CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    "autograder.judge.Judge",  # by name: it imports torch, which release and formgrader need not wait for
    IgnorePattern, ClearMetadataPreprocessor, LimitOutput, SaveGrades, AssignLatePenalties,
]  # nbgrader's own list checks the cells' metadata once more; nothing after the first list can change them
# These hold for the judge, and for nbgrader's own Execute where somebody puts it back.
c.Execute.timeout = 120  # seconds a cell
c.Execute.startup_timeout = 60
c.Execute.shutdown_kernel = "immediate"
c.Execute.extra_arguments = ["--IPKernelApp.log_level=40"]  # each kernel would warn that it listens on this machine
c.Exporter.optimistic_validation = True  # a notebook is validated after all preprocessors, not after each
# Errors are another kind of output: text on stderr is only ever a warning, which must not cost marks.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = ".*"

# The learner's page: a section for each exercise, nothing of a check but what it says.
c.GenerateFeedback.exporter_class = "autograder.feedback.FeedbackExporter"
c.GenerateFeedback.preprocessors = ["autograder.feedback.Grades", "autograder.feedback.Sections"]
templates = REPOSITORY / "autograder" / "templates"
c.FeedbackExporter.template_name = "course_feedback"
c.FeedbackExporter.extra_template_basedirs = [str(templates)]
c.FeedbackExporter.extra_template_paths = [str(templates)]

# Formgrader shows what learners wrote in the instructor's browser: no scripts there, and the rubric beside each answer.
c.HTMLExporter.preprocessors = ["nbconvert.preprocessors.sanitize.SanitizeHTML", "autograder.rubric.ShowRubric"]
c.SanitizeHTML.enabled = True

# Late work costs nothing unless you switch a penalty on. Due dates are nbgrader's: in this folder,
# `nbgrader db assignment add 02_chunked_prefill --duedate "2027-01-31 23:59:00 UTC"`. docs/instructor.md has the rest.
# c.AssignLatePenalties.plugin_class = "autograder.late.PerDay"
# c.PerDay.share_per_day = 0.1  # of the score, for each day begun
# c.PerDay.most = 0.5
# c.PerDay.grace_minutes = 15
