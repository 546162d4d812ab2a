"""The language of templates: a subset of Jinja in which nothing can loop without end, call anything or reach anything.

Jinja's sandbox keeps templates from attributes that begin with an underscore, but a sandboxed template can still loop
for hours or fill the memory: `{% for %}` in `{% for %}`, a macro that calls itself, `"x" * 10 ** 9`. So the syntax tree
is checked before a template is compiled. What remains prints at most what it is given, once, plus its own text.
"""

from collections.abc import Collection

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pixora.email_templates.faults import TemplateFault

PARTS = "parts"
"""The only variable that a layout may loop over."""

FILTERS = ("default", "lower", "upper", "capitalize", "title", "trim", "escape", "e", "d")
TESTS = ("defined", "undefined", "none")
ATTRIBUTES = ("is_link", "words", "lines", "first", "last", "index")

MAX_TEXT = 64 * 1024
"""Characters of a file."""

MAX_LOOPS = 5
"""Loops of a layout."""

_ALLOWED = (
    *(nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr, nodes.Filter, nodes.Test),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.Concat, nodes.Keyword),
)
_WORDS = {"Assign": "set", "AssignBlock": "set", "CallBlock": "call", "FilterBlock": "filter", "FromImport": "import"}


def environment() -> ImmutableSandboxedEnvironment:
    """Return the environment that compiles templates. It has no functions, and none of Flask's variables."""
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=select_autoescape(["html"]), cache_size=0
    )
    made.globals.clear()
    return made


def check(file: object, text: str, variables: Collection[str], *, is_layout: bool) -> None:
    """Check that a template keeps to the subset and knows its variables; raise `TemplateFault` if it does not."""
    if len(text) > MAX_TEXT:
        raise TemplateFault(file, None, f"it has more than {MAX_TEXT} characters.")
    try:
        tree = environment().parse(text)
        _check(file, tree, set(variables), is_layout=is_layout, in_loop=False)
        if len(loops := list(tree.find_all(nodes.For))) > MAX_LOOPS:
            raise TemplateFault(file, loops[MAX_LOOPS].lineno, f"there are more than {MAX_LOOPS} loops.")
    except TemplateSyntaxError as error:
        raise TemplateFault(file, error.lineno, f"{(error.message or 'syntax error').rstrip('.')}.") from error
    except RecursionError as error:
        raise TemplateFault(file, None, "it is nested too deeply.") from error


def _check(file: object, parent: nodes.Node, variables: set[str], *, is_layout: bool, in_loop: bool) -> None:
    for node in parent.iter_child_nodes():
        names, looping = variables, in_loop
        if isinstance(node, nodes.For) and is_layout:
            target = _loop_variable(file, node, in_loop=in_loop)
            names, looping = variables | {target, "loop"}, True
        elif isinstance(node, nodes.Getattr) and is_layout:
            if node.attr not in ATTRIBUTES:
                raise TemplateFault(file, node.lineno, f"there is no attribute {node.attr!r}.")
        elif not isinstance(node, _ALLOWED):
            raise TemplateFault(file, node.lineno, f"{_name(node)} cannot be used in the templates of e-mails.")
        _check_names(file, node, names)
        _check(file, node, names, is_layout=is_layout, in_loop=looping)


def _check_names(file: object, node: nodes.Node, variables: set[str]) -> None:
    """Check the name of a variable, filter or test."""
    if isinstance(node, nodes.Name) and node.name not in variables:
        known = ", ".join(sorted(variables))
        raise TemplateFault(file, node.lineno, f"there is no variable {node.name!r}. This template has: {known}.")
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise TemplateFault(
            file, node.lineno, f"there is no filter {node.name!r}. There are: {', '.join(FILTERS[:-2])}."
        )
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise TemplateFault(file, node.lineno, f"there is no test {node.name!r}. There are: {', '.join(TESTS)}.")


def _loop_variable(file: object, node: nodes.For, *, in_loop: bool) -> str:
    is_over_parts = isinstance(node.iter, nodes.Name) and node.iter.name == PARTS
    if in_loop or node.recursive or not is_over_parts or not isinstance(node.target, nodes.Name):
        raise TemplateFault(file, node.lineno, f"a loop can only be {{% for part in {PARTS} %}}, and not in another.")
    return node.target.name


def _name(node: nodes.Node) -> str:
    """Return what a person calls a part of a template."""
    if isinstance(node, nodes.Stmt):
        kind = type(node).__name__
        return f"{{% {_WORDS.get(kind, kind.lower())} %}}"
    if isinstance(node, nodes.Getattr):
        return f"the attribute {node.attr!r}"
    return {"Call": "a call", "Getitem": "an element in brackets"}.get(type(node).__name__, "this expression")
