"""Submissions that look for what they must not see: answers, marks, other people's work, the machine."""

from tests.autograder.adversarial.kind import reaching

# {root} is the demo course's folder, {repository} this repository.
KINDS = [
    reaching("network", "import socket\nsocket.create_connection(('1.1.1.1', 53), timeout=3)"),
    reaching("name_lookup", "import socket\nsocket.getaddrinfo('example.com', 80)"),
    reaching("loopback", "import socket\nsocket.create_connection(('127.0.0.1', 22), timeout=3)"),
    reaching("gradebook", "open('{root}/autograder/gradebook.db', 'rb').read()"),
    reaching("gradebook_written", """
import sqlite3
base = sqlite3.connect('{root}/autograder/gradebook.db')
base.execute('UPDATE grade SET manual_score = 99')
base.commit()"""),
    reaching("solutions", "open('{root}/solutions/01_demo/01_demo.py').read()"),
    reaching("repository", "open('{repository}/README.md').read()"),
    reaching("hidden_checks", "open('{root}/autograder/checks/01_demo.py').read()"),
    reaching("hidden_checks_imported", "import autograder.exercises"),
    reaching("secret", "open('{root}/autograder/autograded/.secret').read()"),
    reaching("other_submissions", "import os\nos.listdir('{root}/submissions')"),
    reaching("notebooks_anywhere", """
import os
found = [name for top in ('/course', '/home', '/kernel', '/kernels', '/tmp', '/dev/shm', '/var')
         for _, _, names in os.walk(top) for name in names if name == '01_demo.ipynb' or 'gradebook' in name]
assert found, 'no notebook'"""),
    reaching("home", "import os\nassert set(os.listdir('/root') + os.listdir('/home')) - {{'.pyenv', 'learner'}}, "
                     "'empty'"),
    reaching("environment", "import os\nassert {{'COURSE_ROOT', 'SSH_AUTH_SOCK', 'PYTEST_CURRENT_TEST', 'PWD'}} & "
                            "{{*os.environ}} - {{'PWD'}}, 'nothing inherited'"),
    reaching("other_processes_memory", """
import os
for process in os.listdir('/proc'):
    if process.isdigit() and int(process) not in (os.getpid(), int(os.readlink('/proc/self'))):
        try:
            open(f'/proc/{{process}}/mem', 'rb'); break
        except OSError:
            pass
else:
    raise OSError('no process can be read')"""),
    reaching("init_environment", "open('/proc/2/environ').read() + open('/proc/1/environ').read()"
                                 " or 1 / 0\nopen('/proc/2/maps').read() or 1 / 0"),
    reaching("unmounts", """
import ctypes
libc = ctypes.CDLL(None)
assert 0 in [libc.umount2(path, 2) for path in (b'/kernels', b'/tmp', b'/home/learner', b'/course/course_lib')]"""),
    reaching("mounts", "import ctypes\nassert not ctypes.CDLL(None).mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)"),
    reaching("new_namespace", "import ctypes\nassert not ctypes.CDLL(None).unshare(0x10000000), 'refused'"),
    reaching("becomes_root", "import os\nos.setuid(0)"),
    reaching("course_lib_written", "open('/course/course_lib/checks.py', 'a').write('x')"),
    reaching("packages_written", "import torch\nopen(torch.__file__, 'a').write('x')"),
    reaching("kernel_folders", "import os\nassert os.listdir('/kernels'), 'empty'"),
    reaching("devices", "import glob\nassert [*glob.glob('/dev/sd*'), *glob.glob('/dev/vd*')], 'no disks'"),
    # Sorted behind the one that leaves traces, on the same zygote.
    reaching("traces_1", """
import pathlib, builtins, os, course_lib
builtins.trace = course_lib.trace_left = os.environ['TRACE'] = 'here'
for folder in ('/tmp', '/dev/shm', '/home/learner', '/kernel'):
    pathlib.Path(folder, 'trace').write_text('here')
raise OSError('all left')"""),
    reaching("traces_2", """
import pathlib, builtins, os, course_lib
files = [pathlib.Path(folder, 'trace').exists() for folder in ('/tmp', '/dev/shm', '/home/learner', '/kernel')]
assert any(files) or hasattr(builtins, 'trace') or hasattr(course_lib, 'trace_left') or 'TRACE' in os.environ"""),
]
