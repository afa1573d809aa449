"""The safe expression language of code fences (```` ```expr ````): values in, a value out.

Lines are `name = expression` or an expression, whose value is that of the last one. Expressions
have Python's notation: literals, lists and dicts, arithmetic, comparison, `and or not`, `a if b
else c`, `[a for b in c if d]`, `a.b` and `a["b"]` of given data, and the functions in `FUNCTIONS`.
They are read by Python's parser and evaluated here: nothing is executed, nothing of Python can be
reached, and size, depth and work are bounded.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from lmos.model import errors

#: Characters of a piece of code, nodes in it, and nodes inside each other.
MAX_CODE, MAX_NODES, MAX_DEPTH = 2_000, 500, 40
#: Characters of a text, items of a list with all in it, and the largest number.
MAX_TEXT, MAX_ITEMS, MAX_NUMBER = 10_000, 1_000, 10**30
#: Nodes that are evaluated.
MAX_STEPS = 20_000

Function = Callable[..., Any]


class ExpressionError(errors.InvalidInput):
    """The expression cannot be read or evaluated; says where and why."""


def evaluate(code: str, values: Mapping[str, Any], now: datetime | None = None) -> Any:
    """The value of the code's last expression, None when there is none. `now` is the time that
    `today()` and `now()` give, the machine's by default. `ExpressionError` otherwise.
    """
    return _Evaluator(values, now or datetime.now()).run(_parsed(code))


def check(code: str) -> None:
    """Raises `ExpressionError` when the code cannot be read, or calls what there is not. `line` in
    its details counts from the first line of the code.
    """
    for node in ast.walk(_parsed(code)):
        if isinstance(node, (ast.stmt, ast.expr)) and not isinstance(node, _ALLOWED):
            raise _not_allowed(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            _check_function(node.func.id, FUNCTIONS.keys() | _CLOCK, node)


def _check_function(name: str, known: Set[str], node: ast.expr) -> None:
    if name not in known:
        message = f"there is no function {name}; functions are {', '.join(sorted(known))}"
        raise ExpressionError(f"line {node.lineno}: {message}", line=node.lineno)


def _parsed(code: str) -> ast.Module:
    if len(code) > MAX_CODE:
        raise ExpressionError(f"the code has {len(code)} characters, more than {MAX_CODE}")
    try:
        tree = ast.parse(code.strip())
    except SyntaxError as error:
        line = error.lineno or 1
        raise ExpressionError(f"line {line}: {error.msg}", line=line) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("the code cannot be read: it is too deep, or has a zero") from None
    _check_size(tree)
    return tree


def _check_size(tree: ast.AST) -> None:
    """Raises when there are too many nodes or too many inside each other."""
    level: list[ast.AST] = [tree]
    nodes = 0
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if nodes > MAX_NODES or not level:
            break
    if level or nodes > MAX_NODES:
        raise ExpressionError(f"the code is too large: {MAX_NODES} parts, {MAX_DEPTH} deep at most")


class _Evaluator:
    def __init__(self, values: Mapping[str, Any], now: datetime) -> None:
        self._values = dict(values)
        self._steps = 0
        self._functions: dict[str, Function] = {
            **FUNCTIONS,
            "now": lambda: now,
            "today": lambda: now.date(),
        }

    def run(self, tree: ast.Module) -> Any:
        value = None
        for statement in tree.body:
            match statement:
                case ast.Expr(value=expression):
                    value = self._guarded(expression)
                case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                    self._values[name] = self._guarded(expression)
                case _:
                    raise _not_allowed(statement)
        return value

    def _guarded(self, node: ast.expr) -> Any:
        try:
            return self._value(node)
        except ExpressionError:
            raise
        except ZeroDivisionError:
            raise ExpressionError(f"line {node.lineno}: division by zero") from None
        except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise ExpressionError(f"line {node.lineno}: {error}") from None

    def _value(self, node: ast.expr) -> Any:
        """The value of a node, checked for its size."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise ExpressionError(f"line {node.lineno}: this takes too long")
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return _bounded(value, node)
            case ast.Name(id=name):
                return self._named(name, node)
            case ast.Attribute(value=of, attr=name):
                return _attribute(self._value(of), name, node)
            case ast.Subscript(value=of, slice=index):
                return _item(self._value(of), self._value(index), node)
            case ast.BoolOp(op=op, values=parts):
                return self._bool(isinstance(op, ast.And), parts)
            case ast.UnaryOp(op=unary, operand=of) if type(unary) in _UNARY:
                return _bounded(_UNARY[type(unary)](self._value(of)), node)
            case ast.BinOp(left=left, op=binary, right=right):
                return self._arithmetic(binary, self._value(left), self._value(right), node)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                return self._compared(left, ops, rights)
            case ast.IfExp(test=test, body=body, orelse=other):
                return self._value(body if self._value(test) else other)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return _bounded([self._value(item) for item in items], node)
            case ast.Dict(keys=keys, values=items) if None not in keys:
                pairs = zip(keys, items, strict=True)
                return _bounded({self._value(k): self._value(v) for k, v in pairs if k}, node)
            case (
                ast.ListComp(elt=item, generators=[loop])
                | ast.GeneratorExp(elt=item, generators=[loop])
            ):
                return _bounded(self._collected(item, loop), node)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._called(name, arguments, node)
            case _:
                raise _not_allowed(node)

    def _named(self, name: str, node: ast.expr) -> Any:
        if name not in self._values:
            known = ", ".join(sorted(self._values)[:10]) or "none"
            raise ExpressionError(f"line {node.lineno}: {name} is not known; values are {known}")
        return self._values[name]

    def _bool(self, all_: bool, parts: Sequence[ast.expr]) -> Any:
        value: Any = all_
        for part in parts:
            value = self._value(part)
            if bool(value) is not all_:
                break
        return value

    def _collected(self, item: ast.expr, loop: ast.comprehension) -> list[Any]:
        if not isinstance(loop.target, ast.Name):
            raise _not_allowed(loop.target)
        name, items = loop.target.id, self._value(loop.iter)
        if not isinstance(items, (list, tuple)):
            raise ExpressionError(f"line {item.lineno}: {type(items).__name__} is no list")
        before, found = dict(self._values), []
        for self._values[name] in items:
            if all(self._value(test) for test in loop.ifs):
                found.append(self._value(item))
        self._values = before
        return found

    def _arithmetic(self, op: ast.operator, left: Any, right: Any, node: ast.expr) -> Any:
        if type(op) not in _BINARY:
            raise _not_allowed(op, node)
        if isinstance(left, str) and isinstance(op, ast.Mod):
            raise ExpressionError(f"line {node.lineno}: texts are joined with +")
        if isinstance(op, ast.Mult) and not (_is_number(left) and _is_number(right)):
            raise ExpressionError(f"line {node.lineno}: only numbers can be multiplied")
        if isinstance(op, ast.Pow) and (abs(right) > 100 or abs(left) > 10**6):
            raise ExpressionError(f"line {node.lineno}: the power is too large")
        if isinstance(left, Decimal) and isinstance(right, float):
            right = Decimal(str(right))
        if isinstance(right, Decimal) and isinstance(left, float):
            left = Decimal(str(left))
        return _bounded(_BINARY[type(op)](left, right), node)

    def _compared(
        self, left: ast.expr, ops: Sequence[ast.cmpop], rights: Sequence[ast.expr]
    ) -> bool:
        value = self._value(left)
        for op, right in zip(ops, rights, strict=True):
            other = self._value(right)
            if not _COMPARED[type(op)](value, other):
                return False
            value = other
        return True

    def _called(self, name: str, arguments: Sequence[ast.expr], node: ast.expr) -> Any:
        _check_function(name, self._functions.keys(), node)
        values = (self._value(argument) for argument in arguments)
        return _bounded(self._functions[name](*values), node)


def _bounded(value: Any, node: ast.expr) -> Any:
    """The value, unless it is too large."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ExpressionError(f"line {node.lineno}: the text is longer than {MAX_TEXT}")
    if isinstance(value, (int, float, Decimal)) and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise ExpressionError(f"line {node.lineno}: the number is too large")
    if isinstance(value, (list, dict)) and _is_large(value):
        raise ExpressionError(f"line {node.lineno}: there are more than {MAX_ITEMS} items")
    return value


def _is_large(value: Any) -> bool:
    """Whether there are too many items in the value and in what it holds."""
    items = 0
    left: list[Any] = [value]
    while left and items <= MAX_ITEMS:
        inner: Any = left.pop()
        if isinstance(inner, (list, tuple, dict)):
            items += len(inner)
            left += list(inner.values() if isinstance(inner, dict) else inner)[:MAX_ITEMS]
    return items > MAX_ITEMS


def _attribute(value: Any, name: str, node: ast.expr) -> Any:
    if isinstance(value, Mapping):
        return _item(value, name, node)
    if isinstance(value, date) and name in ("year", "month", "day", "hour", "minute"):
        return getattr(value, name)
    raise ExpressionError(f"line {node.lineno}: there is no {name!r} in {type(value).__name__}")


def _item(value: Any, key: Any, node: ast.expr) -> Any:
    if isinstance(value, (Mapping, list, tuple, str)):
        try:
            return value[key]
        except (LookupError, TypeError):
            raise ExpressionError(f"line {node.lineno}: there is no {key!r}") from None
    raise ExpressionError(f"line {node.lineno}: {type(value).__name__} has no items")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal, timedelta))


def _not_allowed(node: ast.AST, at: ast.AST | None = None) -> ExpressionError:
    line = getattr(at or node, "lineno", 1)
    message = f"line {line}: {type(node).__name__} is not part of the language"
    return ExpressionError(message, line=line)


def _date(value: str | date) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


def _format(value: str | date, pattern: str = "%d.%m.%Y") -> str:
    if len(pattern) > 100:
        raise ValueError("the pattern is too long")
    return _date(value).strftime(pattern)


def _fixed(value: Any, digits: int = 2) -> str:
    return f"{value:,.{min(max(0, digits), 20)}f}"


def _round(value: Any, digits: int = 0) -> Any:
    rounded = round(value, min(max(-20, digits), 20))
    return int(rounded) if digits == 0 else rounded


#: Kinds of statements and expressions that there are.
_ALLOWED = (
    ast.Expr, ast.Assign, ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.BoolOp,
    ast.UnaryOp, ast.BinOp, ast.Compare, ast.IfExp, ast.List, ast.Tuple, ast.Dict, ast.ListComp,
    ast.GeneratorExp, ast.Call,
)  # fmt: skip
_CLOCK = {"now", "today"}
#: What can be called, besides `now()` and `today()`.
FUNCTIONS: dict[str, Function] = {
    "abs": abs,
    "all": all,
    "any": any,
    "date": _date,
    "days": lambda count: timedelta(days=count),
    "fixed": _fixed,
    "float": float,
    "format_date": _format,
    "int": int,
    "join": lambda items, between=", ": between.join(str(item) for item in items),
    "len": len,
    "lower": lambda text: text.lower(),
    "max": max,
    "min": min,
    "round": _round,
    "sorted": sorted,
    "str": str,
    "sum": sum,
    "upper": lambda text: text.upper(),
}
_UNARY: dict[type[ast.unaryop], Function] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_BINARY: dict[type[ast.operator], Function] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARED: dict[type[ast.cmpop], Function] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
}
