"""What the words of a side are found in, one row each: how far they can be trusted, and what has to stand beside them.

A reader says in what it found the words (``kinds.HEADING.cue(side, words, place)``); the row says the rest. Two rows with the
same name in a report are the same thing said in two ways, one of which can be trusted further.
"""

from __future__ import annotations

from typing import NamedTuple

from kvroles.evidence.frames import Cue, Side, Weight
from kvroles.evidence.patterns import regex

_SETS_KEY = regex(r"\s*([\w./-]+)\s*[:=]")


class Kind(NamedTuple):
    """One row: the name in a report, the weight, and the rules for these words.

    ``alone`` is the rule for where nothing else decides (see ``decide``): "label" for a name that aggregated servers carry as
    well, "name" for that of a whole file or class. ``gives_way``: in a document the nearer one of such words decides.
    ``setting``: another setting of the same key may replace it; where it is only a default, it decides nothing. ``denies``: it
    says that the server is not of the other side, which no name can be right against. ``remark``: what a person wrote beside it,
    which decides nothing where what is round it serves both sides.
    """

    name: str
    weight: int
    alone: str = ""
    gives_way: bool = False
    setting: bool = False
    denies: bool = False
    remark: bool = False

    def cue(self, side: Side, words: str, pos: int = -1) -> Cue:
        """The evidence that ``words`` at index ``pos`` of the file's text are for ``side``."""
        return Cue(side, self.weight, self.name, words, pos)


# A flag, variable or setting whose meaning is the side, and what says in so many words that both sides use a value.
ANSWER = Kind("answer", Weight.FLAG)
ROLE = Kind("role", Weight.FLAG, "label", setting=True)
ROLE_FLAG = Kind("flag", Weight.FLAG)
ROLE_VARIABLE = Kind("variable", Weight.FLAG, "label", setting=True)
PREFILL_OFF = Kind("prefill off", Weight.FLAG)
CHANGES_ROLE = Kind("changes its role", Weight.FLAG)
BOTH_SAID = Kind("comment", Weight.FLAG)
EXTENDED = Kind("extends", Weight.FLAG)
REFERRED_TO = Kind("reference", Weight.FLAG)
RUN_BY_TASK = Kind("task", Weight.FLAG)
BUILT_UPON = Kind("stage", Weight.FLAG, "label")
MADE_FROM_OTHER = Kind("made from the other", Weight.FLAG)

# A name, a label, a key, a branch, a port given to the proxy.
NAME = Kind("name", Weight.NAMED, "label", setting=True)
LABEL = Kind("label", Weight.NAMED, "label", setting=True)
KEY = Kind("key", Weight.NAMED, "label")
ROLE_SETTING = Kind("role", Weight.NAMED, "label", setting=True)
PATCH_PATH = Kind("patch path", Weight.NAMED, "label")
SECTION = Kind("section", Weight.NAMED, "label")
VARIABLE = Kind("variable", Weight.NAMED, "label")
ROLE_ASSIGNED = Kind("assignment", Weight.NAMED, "label", setting=True)  # of a script, which may set it again
FUNCTION = Kind("function", Weight.NAMED, "label")
CLASS = Kind("class", Weight.NAMED, "name")
TARGET = Kind("target", Weight.NAMED, "label")
STAGE = Kind("stage", Weight.NAMED, "label")
OPTION = Kind("option", Weight.NAMED, "label")
BESIDE = Kind("beside", Weight.NAMED, "label")
CALL = Kind("call", Weight.NAMED, "label")
FILE_WRITTEN = Kind("file written", Weight.NAMED, "label")
FILE_TITLE = Kind("title", Weight.NAMED)
FLAG_NAME = Kind("flag", Weight.NAMED)
CONTAINER_NAME = Kind("argument", Weight.NAMED)
GIVEN = Kind("given", Weight.NAMED)
HANDED_ON = Kind("handed on to", Weight.NAMED)
HOST = Kind("host", Weight.NAMED)
PORT = Kind("port", Weight.NAMED)
STRUCTURE = Kind("structure", Weight.NAMED)
CONDITION = Kind("condition", Weight.NAMED)
BLOCK = Kind("block", Weight.NAMED)
LOOP_OVER_BOTH = Kind("loop", Weight.NAMED)
DESCRIPTION_BESIDE_ROLE = Kind("description", Weight.NAMED)

# What is said above or beside it, and the names of files and arguments.
COMMENT = Kind("comment", Weight.SAID, remark=True)
DOCSTRING = Kind("docstring", Weight.SAID, remark=True)
PRINT = Kind("print", Weight.SAID, remark=True)
ECHO = Kind("echo", Weight.SAID, remark=True)
HEADING = Kind("heading", Weight.SAID, gives_way=True)
TAB = Kind("tab", Weight.SAID, gives_way=True)
TITLE = Kind("title", Weight.SAID, gives_way=True)
STEP = Kind("name", Weight.SAID, "label", remark=True)  # a task's or step's, of several words
COLUMN = Kind("column", Weight.SAID)
TEXT_ABOVE = Kind("text above", Weight.SAID, gives_way=True)
CELL_ABOVE = Kind("cell above", Weight.SAID, gives_way=True)
SENTENCE = Kind("sentence", Weight.SAID, gives_way=True)
TEXT = Kind("text", Weight.SAID, remark=True)
DESCRIPTION = Kind("description", Weight.SAID, remark=True)
PID = Kind("pid", Weight.SAID, remark=True)
ARGUMENT = Kind("argument", Weight.SAID)
AGGREGATED_FLAG = Kind("flag", Weight.SAID)
LOG_FILE = Kind("log file", Weight.SAID, remark=True)
FILE_NAMED = Kind("file", Weight.SAID)
FILE_OPENED = Kind("file written", Weight.SAID, "label")
LOOP_OVER_ONE = Kind("loop", Weight.SAID)
LAST_BRANCH = Kind("condition", Weight.SAID)

# The file's own name, and a folder's.
FILE_NAME = Kind("file name", Weight.FILE, "name")
FOLDER = Kind("folder", Weight.FILE, "name")

# A suggestion for a person, never a role.
PERHAPS_ROLE = Kind("role", Weight.HINT, "label")
RULED_OUT = Kind("condition", Weight.HINT, denies=True)
DENIED = Kind("switch", Weight.HINT, denies=True)
HOST_GONE_TO = Kind("host", Weight.HINT, denies=True)  # it may have other servers too
NOT_READ = Kind("not read", Weight.HINT)  # a file near by that may say the other side
TOLD = Kind("told its role", Weight.HINT)  # by what is not known here
OPEN = Kind("open", Weight.HINT)  # for either side, as whoever starts it chooses: no remark knows better
REMARK = Kind("sentence", Weight.HINT, gives_way=True)

ROWS = tuple(row for row in list(globals().values()) if isinstance(row, Kind))
ALONE = {row.name: row.alone for row in ROWS if row.alone}
SETTINGS = frozenset((row.name, row.weight) for row in ROWS if row.setting)
_REMARKS = frozenset((row.name, row.weight) for row in ROWS if row.remark)
_DENYING = frozenset((row.name, row.weight) for row in ROWS if row.denies)
# What only calls a server so; a call, a label and a setting tell it.
NAMES = frozenset({*ALONE, BLOCK.name, DESCRIPTION.name}) - {CALL.name, LABEL.name, ROLE.name, ROLE_ASSIGNED.name}
# What says that the other side takes over the whole entry that a value is in; settings in it may be set anew there.
TAKEN_OVER = frozenset(row.name for row in (EXTENDED, REFERRED_TO, BUILT_UPON))
# What sets a role, by a key or variable that a nearer scope may set anew.
ROLES = frozenset({ROLE.name, ROLE_VARIABLE.name})
GIVE_WAY = frozenset(row.name for row in ROWS if row.gives_way)


def denying(cues: list[Cue], side: Side) -> list[Cue]:
    """Those of ``cues`` that say that the server is not of ``side``."""
    return [c for c in cues if (c.kind, c.weight) in _DENYING and c.side is side.other]


def remarks_only(cues: list[Cue]) -> bool:
    """Whether nothing but what a person wrote beside it says what ``cues`` say."""
    return bool(cues) and all((c.kind.removeprefix("used by: "), c.weight) in _REMARKS for c in cues)


def settings_only(cues: list[Cue]) -> bool:
    """Whether nothing but settings, which others of the same keys may replace, says what ``cues`` say."""
    return bool(cues) and all((c.kind, c.weight) in SETTINGS for c in cues)


def key_of(cue: Cue) -> str:
    """The key of the setting that a cue quotes (``llm-d.ai/role: prefill``); empty if it quotes none."""
    m = _SETS_KEY.match(cue.words)
    return m.group(1) if m is not None else ""
