"""The base of every type that crosses a wire: frozen, camelCase outside, snake_case inside."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)

H = TypeVar("H", bound=Hashable)


#: Frozen values are made with it, and never changed.
_set = object.__setattr__


class _Plain(ModelMetaclass):
    """Whether something is one of a class is told by its class alone. Pydantic asks further, as of
    abstract classes, which takes several times as long, and events are looked at all the time.
    """

    __instancecheck__ = type.__instancecheck__


class Model(BaseModel, metaclass=_Plain):
    """A frozen value. Unknown fields of the wire are ignored; see `Strict` for those refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )

    def wire(self) -> dict[str, Any]:
        """The JSON form: camelCase keys, nothing that is null."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def json_bytes(self) -> bytes:
        """The JSON form as it goes over a wire; `orjson.Fragment` puts it into a larger one."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True, exclude_none=True)

    def but(self, **changes: Any) -> Self:
        """A copy with fields changed; the values are taken as they are, not validated again. It is
        `model_copy(update=changes)` in a third of its time, which turns do all the way.
        """
        made = object.__new__(type(self))
        _set(made, "__dict__", {**self.__dict__, **changes})
        _set(made, "__pydantic_fields_set__", {*self.__pydantic_fields_set__, *changes})
        _set(made, "__pydantic_extra__", self.__pydantic_extra__)
        _set(made, "__pydantic_private__", self.__pydantic_private__)
        return made


class Strict(Model):
    """A value that people write by hand: a field nobody knows is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


def unique(items: Iterable[H]) -> tuple[H, ...]:
    """The items without repetition, in their first order."""
    return tuple(dict.fromkeys(items))


def _none_is_empty(value: Any) -> Any:
    return () if value is None else value


_T = TypeVar("_T")
#: A list on the wire where ``null`` and absence mean the same: nothing.
Tuple = Annotated[tuple[_T, ...], BeforeValidator(_none_is_empty)]
