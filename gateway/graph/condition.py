"""Conditions: the expressions that decide whether a step is taken.

A condition is compiled once, when the configuration is loaded; all that can be wrong with it is said then. At work it
is a plain predicate on a parsed document, and a document that it does not fit is one for which it does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal

import jmespath
from jmespath.exceptions import EmptyExpressionError, IncompleteExpressionError, LexerError, ParseError
from jmespath.functions import Functions
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from .gjson import MISSING, compile_path

Condition = Callable[[object], bool]

DEEPEST = 100
"""How many operators deep a jmespath expression may nest; the interpreter recurses, and the stack is shared."""


def compile_condition(language: Literal["jmespath", "gjson"], expression: str) -> Condition:
    """A predicate on parsed JSON that never raises.

    jmespath (jmespath.org/specification): the result is true in jmespath's own sense, so null, false, "", [] and {} are
    not, but 0 is. gjson: the path exists, whatever its value. Raises ValueError with one line that names the fault and
    its column, counted from 1, for what is no jmespath expression; every text is a gjson path.
    """
    return _gjson(expression) if language == "gjson" else _jmespath(expression)


def _gjson(expression: str) -> Condition:
    path = compile_path(expression)
    return lambda document: path(document) is not MISSING


def _jmespath(expression: str) -> Condition:
    find = compile_jmespath(expression)
    return lambda document: _true(find(document))


def compile_jmespath(expression: str) -> Callable[[object], object]:
    """What ``expression`` finds in parsed JSON; None where it finds nothing or does not fit. Raises ValueError."""
    parsed = _parse(expression)
    _check_calls(parsed)
    # What jmespath's search() does, except that it would make a new interpreter each time: half of its whole cost.
    visit, tree = TreeInterpreter().visit, parsed.parsed

    def find(document: object) -> object:
        try:
            return visit(tree, document)
        except (
            Exception
        ):  # its own errors of type, but also any that Python finds first: an infinity rounded, the stack
            return None

    return find


def _true(result: object) -> bool:
    return result is not None and result is not False and result not in ("", [], {})


def _parse(expression: str) -> ParsedResult:
    try:
        return jmespath.compile(expression)
    except EmptyExpressionError:
        raise _invalid(0, "it is empty") from None
    except IncompleteExpressionError:
        raise _invalid(len(expression), "it ends too early") from None
    except LexerError as error:
        raise _invalid(error.lexer_position, error.message) from None
    except ParseError as error:
        raise _invalid(error.lex_position, error.msg) from None
    except ValueError as error:  # an index of thousands of digits
        raise _invalid(0, str(error)) from None
    except RecursionError:
        raise _invalid(0, "it nests too deep") from None


def _invalid(position: int, reason: str) -> ValueError:
    return ValueError(f"invalid jmespath expression, column {position + 1}: {' '.join(reason.split())}")


def _check_calls(parsed: ParsedResult) -> None:
    """The library looks a function up when it is called; a misspelt one would be a condition that never holds."""
    for name, arguments in _calls(parsed):
        known = Functions.FUNCTION_TABLE.get(name)
        if known is None:
            raise _invalid(_column(parsed.expression, name), f"unknown function {name}()")
        signature = known["signature"]
        variadic = bool(signature) and signature[-1].get("variadic", False)
        if arguments < len(signature) or (arguments > len(signature) and not variadic):
            wanted = f"{'at least ' if variadic else ''}{len(signature)}"
            raise _invalid(_column(parsed.expression, name), f"{name}() takes {wanted} argument(s), not {arguments}")


def _calls(parsed: ParsedResult) -> Iterator[tuple[str, int]]:
    rest = [(parsed.parsed, 0)]
    while rest:
        node, depth = rest.pop()
        if depth > DEEPEST:
            raise _invalid(0, "it nests too deep")
        if node["type"] == "function_expression":
            yield node["value"], len(node["children"])
        rest += [(child, depth + 1) for child in node["children"] if isinstance(child, dict)]


def _column(expression: str, name: str) -> int:
    tokens = list(Lexer().tokenize(expression))
    for token, after in pairwise(tokens):
        if token["value"] == name and after["type"] == "lparen":
            return int(token["start"])
    return 0
