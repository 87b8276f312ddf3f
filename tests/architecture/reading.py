"""Reading the source of a core room: what in it could make two runs of the same inputs differ."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

ESCAPE = re.compile(r"#\s*nondeterminism-ok:\s*\S")

# Modules that are nothing but clock, chance or I/O: importing one is the mistake.
BANNED_MODULES = {
    "asyncio": "the core never awaits",
    "anyio": "the core never awaits",
    "http": "I/O belongs to ports",
    "multiprocessing": "no processes",
    "os": "I/O and environment are parameters",
    "pathlib": "I/O belongs to ports",
    "secrets": "use ctx.rng",
    "shutil": "I/O belongs to ports",
    "socket": "I/O belongs to ports",
    "sqlite3": "I/O belongs to the journal",
    "subprocess": "no processes",
    "tempfile": "I/O belongs to ports",
    "threading": "one thread",
    "time": "time is ctx.now",
    "urllib": "I/O belongs to ports",
    "uuid": "use daemon.kernel.ids",
}
BANNED_NAMES = {
    "datetime.date.today": "time is ctx.now",
    "datetime.datetime.now": "time is ctx.now",
    "datetime.datetime.today": "time is ctx.now",
    "datetime.datetime.utcnow": "time is ctx.now",
    "numpy.random": "use ctx.rng",
    "numpy.load": "I/O belongs to ports",
    "numpy.loadtxt": "I/O belongs to ports",
    "numpy.fromfile": "I/O belongs to ports",
}
BANNED_CALLS = {
    "hash": "differs between processes",
    "id": "is an address",
    "input": "I/O belongs to ports",
    "open": "I/O belongs to ports",
    "print": "talk belongs to the edge",
}
# What walks over its argument in the argument's own order (sorted, min, max, len, any and all do not tell the order).
WALKERS = {"list", "tuple", "enumerate", "iter", "map", "filter", "zip", "sum", "reversed", "dict", "deque", "fsum"}


@dataclass(frozen=True)
class Finding:
    """One line that breaks a rule."""

    line: int
    what: str


class Reader(ast.NodeVisitor):
    """Walks one module and notes what a core room must not do."""

    def __init__(self, tree: ast.Module) -> None:
        self.findings: list[Finding] = []
        self.names: dict[str, str] = {}  # local name -> dotted import
        self.sets = _set_names(tree)

    def note(self, node: ast.AST, what: str) -> None:
        """Remember a finding."""
        self.findings.append(Finding(getattr(node, "lineno", 0), what))

    def visit_Import(self, node: ast.Import) -> None:
        """Remember names and refuse banned modules."""
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self.names[alias.asname or top] = alias.name if alias.asname else top
            self._module(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Remember names and refuse banned modules and what they export."""
        module = node.module or ""
        self._module(node, module)
        for alias in node.names:
            dotted = f"{module}.{alias.name}"
            self.names[alias.asname or alias.name] = dotted
            if dotted in BANNED_NAMES:
                self.note(node, f"imports {dotted}: {BANNED_NAMES[dotted]}")
            elif module == "random" and alias.name != "Random":
                self.note(node, f"imports {dotted}: use ctx.rng")

    def _module(self, node: ast.AST, module: str) -> None:
        for banned, why in (BANNED_MODULES | {"numpy.random": "use ctx.rng"}).items():
            if module == banned or module.startswith(f"{banned}."):
                self.note(node, f"imports {module}: {why}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Refuse banned functions by their full name."""
        dotted = self._dotted(node)
        if dotted in BANNED_NAMES:
            self.note(node, f"uses {dotted}: {BANNED_NAMES[dotted]}")
        elif dotted.startswith("random.") and dotted != "random.Random":
            self.note(node, f"uses {dotted}: use ctx.rng")
        self.generic_visit(node)

    def _dotted(self, node: ast.expr) -> str:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            return f"{self._dotted(node.value)}.{node.attr}"
        return ""

    def visit_Call(self, node: ast.Call) -> None:
        """Refuse banned calls, and walking over a set by a call."""
        function = node.func
        if self._dotted(function) == "random.Random":
            self.note(node, "makes a generator: use ctx.rng")
        if isinstance(function, ast.Name) and function.id not in self.names:
            if function.id in BANNED_CALLS:
                self.note(node, f"calls {function.id}(): {BANNED_CALLS[function.id]}")
            if function.id in WALKERS:
                for argument in node.args:
                    self._walked(argument)
        if isinstance(function, ast.Attribute):
            if function.attr == "pop" and not node.args and self._is_set(function.value):
                self.note(node, "pops from a set: which one is chance")
            if function.attr in {"join", "extend", "update", "fromkeys"} and not self._is_set(function.value):
                for argument in node.args:
                    self._walked(argument)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        """Refuse a loop over a set."""
        self._walked(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Refuse a comprehension over a set."""
        self._walked(node.iter)
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        """Refuse unpacking a set."""
        self._walked(node.value)
        self.generic_visit(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        """A set made from a set tells no order."""
        for generator in node.generators:
            for child in (*generator.ifs, generator.target):
                self.visit(child)
            if not self._is_set(generator.iter):
                self.visit(generator)
        self.visit(node.elt)

    def _walked(self, node: ast.expr) -> None:
        if self._is_set(node):
            self.note(node, "walks over a set: its order is chance; sort it, or use dict.fromkeys")

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}:
                return True
            return (
                isinstance(node.func, ast.Attribute)
                and node.func.attr in _SET_METHODS
                and self._is_set(node.func.value)
            )
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
            return self._is_set(node.left) or self._is_set(node.right)
        if isinstance(node, ast.Name | ast.Attribute):
            return ast.unparse(node) in self.sets
        return False


_SET_METHODS = {"union", "intersection", "difference", "symmetric_difference", "copy"}


def _set_names(tree: ast.Module) -> set[str]:
    """Return names and attributes that are bound to a set anywhere in the module, by value or annotation."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _makes_set(node.value):
            found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            if _is_set_type(node.annotation) or (node.value is not None and _makes_set(node.value)):
                found.add(ast.unparse(node.target))
                found.add(f"self.{ast.unparse(node.target)}")
        elif isinstance(node, ast.arg) and node.annotation is not None and _is_set_type(node.annotation):
            found.add(node.arg)
    return found


def _is_set_type(annotation: ast.expr) -> bool:
    return re.match(r"(Final\[)?(set|frozenset|Set|AbstractSet|MutableSet)\b", ast.unparse(annotation)) is not None


def _makes_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}


def read(source: str) -> list[Finding]:
    """Return what breaks the rules of the core in a module's source, without the lines that say why they must."""
    tree = ast.parse(source)
    reader = Reader(tree)
    reader.visit(tree)
    lines = source.splitlines()
    return [f for f in reader.findings if not ESCAPE.search(lines[f.line - 1])]
