"""Submissions that change what runs around them in the kernel, or forge answers, to get marks for wrong work."""

from tests.autograder.adversarial.kind import ALL, NOTHING, REST, RIGHT, WRONG, Kind

FAILED = "halves: 0 of 3 points."
NO_ANSWER = "Your code sent what is no answer"
TOO_LONG = "a message may have at most"


def _raw(text: str) -> str:
    """A kernel that sends `text` whatever it is asked."""
    return f"""
from autograder import line
sent = line.Line.send
line.Line.send = lambda self, text: sent(self, {text})
{WRONG}"""


def _bytes(sending: str) -> str:
    """A kernel in which `sending` stands in the place of each message; `end` is the socket."""
    return f"""
import time
from autograder import line
end = line.of_this_kernel._socket
def send(self, text):
    {sending}
line.Line.send = send
{WRONG}"""


def _after_ready(text: str) -> str:
    """A kernel that begins a talk honestly, and then sends `text` in the place of each message."""
    return f"""
from autograder import line
sent = line.Line.send
def send(self, said):
    sent(self, said if '"ready"' in said else {text})
line.Line.send = send
{WRONG}"""


CHANNELS = """
import os, socket, struct, time
def channel(name):
    found = None
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                one = socket.socket(fileno=os.dup(number))
                if str(one.getsockname()).endswith(name) and one.getpeername() is not None:
                    found = one  # the last is the judge's: the debugger has one, too
        except OSError:
            continue
    found.setblocking(True)
    return found
"""
SENDS = """
kernel = get_ipython().kernel
parent = kernel.get_parent("shell")
stream = getattr(kernel.shell_stream, "socket", kernel.shell_stream)
kernel.session.send(stream, "execute_reply", {"status": "ok", "payload": []}, parent=parent,
                    ident=[parent["header"]["session"].encode()])
"""

KINDS = [
    Kind("comparison_replaced", "checks.differs = lambda *_: None\nchecks.exercise = None\n" + WRONG, REST, FAILED),
    Kind("torch_allclose_replaced", "import torch\ntorch.allclose = torch.equal = lambda *_: True\n" + WRONG, REST,
         FAILED),
    Kind("always_equal_list", """
class Same(list):
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
halves = lambda numbers: Same([7])
""", REST, FAILED),
    Kind("always_equal_number", """
class Same(int):
    __eq__ = lambda self, other: True
    __hash__ = int.__hash__
halves = lambda numbers: [Same(7)]
""", REST, "expected None, bool, int"),
    Kind("builtins_replaced", """
import builtins
builtins.all = builtins.isinstance = lambda *_: True
""" + WRONG, REST, FAILED),
    Kind("json_replaced", """
import json
json.dumps = lambda *_, **__: '{"kind": "answer", "value": {"halves": [1, 20]}}'
""" + WRONG, REST, FAILED),
    Kind("plain_replaced", """
from autograder import plain
plain.encode = lambda *_: '{"kind": "answer", "value": {"halves": [1, 20]}}'
""" + WRONG, NOTHING, NO_ANSWER),
    Kind("helper_replaced", """
from autograder import kernel_side
kernel_side.direct_call = lambda adapter, learner: lambda payload, ask: {"halves": [7], "refused": True, "value": "B"}
""" + WRONG, REST, FAILED),
    Kind("adapter_replaced", """
import sys, types
sys.modules["/course/adapters/01_demo.py"] = types.SimpleNamespace(halves=lambda *_: {"halves": [7]})
""" + WRONG, NOTHING, FAILED),
    Kind("asserts_removed", """
import ast
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(NoAsserts())
""" + WRONG, REST, FAILED),
    Kind("cells_rewritten", "get_ipython().input_transformers_post.append(lambda lines: ['pass'])\n" + WRONG, NOTHING,
         "ended without an answer"),
    Kind("run_cell_replaced", """
import types
async def nothing(self, *arguments, **named):
    return types.SimpleNamespace(success=True, error_in_exec=None, error_before_exec=None, result=5.0)
type(get_ipython()).run_cell_async = nothing
""" + WRONG, NOTHING, FAILED),
    Kind("forged_report", WRONG + "print('halves: 3 of 3 points.')\n3.0", REST, FAILED),
    Kind("forged_display", WRONG + "display({'text/plain': '3.0'}, raw=True, display_id='x')\n3.0", REST, FAILED),
    Kind("forged_crash", "class CheckCrashed(Exception): pass\nraise CheckCrashed('a person must mark this')", REST,
         FAILED),
    Kind("forged_crash_in_call", """
class CheckCrashed(Exception): pass
def halves(numbers):
    raise CheckCrashed("a person must mark this")
""", REST, "Your code raised CheckCrashed"),
    Kind("environment_changed", "import os\nos.environ['NBGRADER_EXECUTION'] = ''\n" + WRONG, REST, FAILED),
    Kind("raw_forged_tensor", _raw("""'{"kind": "ready", "value": {"$plain": "tensor", "dtype": "float32", "shape": '
                                   '[2147483647, 2147483647], "data": ""}}'"""), NOTHING, NO_ANSWER),
    Kind("raw_deep_json", _raw("'[' * 100000"), NOTHING, NO_ANSWER),
    Kind("raw_not_json", _raw("'mark: 3.0'"), NOTHING, NO_ANSWER),
    Kind("raw_many_parts", _raw("'[' + '0,' * 5_000_000 + '0]'"), NOTHING, "too much output"),
    Kind("raw_huge", _raw("'x' * 200_000_000"), NOTHING, TOO_LONG),
    Kind("line_length_only", _bytes("end.sendall(b'\\xff' * 4)"), NOTHING, TOO_LONG),
    Kind("line_half_a_message", _bytes("end.sendall(b'\\0\\0\\0\\x09half')"), NOTHING, "time limit"),
    Kind("line_dribbles", _bytes("end.sendall(b'\\0\\1\\0\\0')\n    while True: end.send(b' '); time.sleep(0.01)"),
         NOTHING, "time limit"),
    Kind("line_no_text", _bytes("end.sendall(b'\\0\\0\\0\\x04\\xff\\xfe\\0\\0')"), NOTHING, NO_ANSWER),
    Kind("line_flooded", _bytes("[end.send(b'x' * 10**6) for _ in range(10**6)]"), NOTHING, TOO_LONG),
    Kind("line_closed", _bytes("import os; os.close(end.fileno())"), NOTHING, "0 of 3 points"),
    Kind("line_closed_at_once", "from autograder import line\nline.of_this_kernel._socket.close()\n" + WRONG, NOTHING,
         "0 of 3 points"),
    Kind("line_answered_in_advance", """
from autograder import line, plain
for number in range(50):
    for said in ({"kind": "ready"}, {"kind": "answer", "value": {"halves": [number, 10 * number], "value": "B"}}):
        line.of_this_kernel.send(plain.encode(said))
""" + WRONG, REST, FAILED),
    Kind("asks_unasked", _after_ready("""'{"kind": "ask", "question": {}}'"""), NOTHING, "where nobody answers"),
    Kind("garbage_after_ready", _after_ready("'garbage'"), NOTHING, NO_ANSWER),
    Kind("answers_nothing", _after_ready("""'{"kind": "answer", "value": null}'"""), NOTHING, NO_ANSWER),
    Kind("answers_something_else", _after_ready("""'{"kind": "answer", "value": {}}'"""), NOTHING,
         "an answer without 'value'"),
    Kind("tensor_of_no_bytes", _after_ready("""'{"kind": "answer", "value": {"halves": {"$plain": "tensor", "dtype": '
                                            '"float32", "shape": [0, 2147483647, 2147483647, 2147483647], "data": ""}}}'
                                            """), NOTHING, NO_ANSWER),
    Kind("many_small_objects", _after_ready("""'{"kind": "answer", "value": {"halves": [' + '{"a":{}},' * 3_900_000
                                               + '0]}}'"""), NOTHING, "too much output"),
    Kind("replies_early", SENDS + """
import time
for _ in range(100):
    kernel.session.send(kernel.iopub_socket, "stream", {"name": "stdout", "text": "."}, parent=parent, ident=b"x")
    time.sleep(0.5)
""" + RIGHT, REST, "too much output at once"),
    Kind("message_without_end", CHANNELS + """
frame = b"\x03" + struct.pack(">Q", 2**24) + bytes(2**24)
while True:
    channel("ipc-2").sendall(frame)
""" + RIGHT, REST, "too much output"),
    Kind("shell_closed", CHANNELS + "channel('ipc-1').shutdown(socket.SHUT_RDWR)\ntime.sleep(1)\n" + RIGHT, REST,
         "halves: 0 of 3 points"),
    Kind("payload_of_a_number", "get_ipython().payload_manager._payload.append(5)\n" + RIGHT, ALL, "All requirements"),
    Kind("half_a_character", "def halves(numbers):\n    raise RuntimeError('\\ud800')\nprint('\\ud800')", REST,
         "Your code raised RuntimeError: ?"),
    Kind("deep_answer", """
def halves(numbers):
    answer = []
    for _ in range(500):
        answer = [answer]
    return answer
""", REST, "nested 16 deep"),
    Kind("endless_answer", "def halves(numbers):\n    answer = []\n    answer.append(answer)\n    return answer", REST,
         "nested 16 deep"),
    Kind("large_answer", "def halves(numbers):\n    return ['x' * 30_000_000] * 3", REST, "PlainError"),
    Kind("large_number", "def halves(numbers):\n    return [10 ** 5000]", REST, "64 bits"),
    Kind("pickled_answer", """
class Bomb:
    def __reduce__(self):
        return print, ("REACHED",)
halves = lambda numbers: [Bomb()]
""", REST, "got Bomb"),
    Kind("not_a_number", "halves = lambda numbers: [float('nan')] * 2", REST, FAILED),
    Kind("asks_for_input", "def halves(numbers):\n    return [int(input('mark? '))]", REST, "nobody is there to type"),
    Kind("looks_up_the_stack", """
def halves(numbers):
    import sys
    frame, found = sys._getframe(), []
    while frame:
        found += [name for name in frame.f_locals if name in ("tally", "expected", "check", "wrong")]
        frame = frame.f_back
    print("REACHED" if found else "")
    raise RuntimeError(f"found {found}")
""", REST, "found []"),
    Kind("modules_planted", """
import pathlib
for name in ("torch", "ipykernel_launcher", "sitecustomize", "autograder"):
    pathlib.Path(f"{name}.py").write_text("print('REACHED')")
""" + RIGHT, ALL, "All requirements are met."),
]
