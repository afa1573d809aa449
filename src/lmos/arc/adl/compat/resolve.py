"""Adding the use cases that others refer to by `#file/id`, one level deep."""

from collections.abc import Callable, Sequence

from lmos.arc.adl.compat.document import ArcUseCase
from lmos.arc.adl.compat.reader import read

#: The text of the file of a name without `.md`, or None when there is none.
Load = Callable[[str], str | None]


def resolve(use_cases: Sequence[ArcUseCase], load: Load) -> list[ArcUseCase]:
    """The use cases, and behind them those that they refer to, in the order of the references. Each
    file is read once.
    """
    found = list(use_cases)
    there = {case.id for case in use_cases}
    files: dict[str, dict[str, ArcUseCase]] = {}
    for reference in dict.fromkeys(ref for case in use_cases for ref in case.references()):
        file, _, id_ = reference.rpartition("/")
        if not file or id_ in there:
            continue
        if file not in files:
            text = load(file)
            files[file] = {case.id: case for case in read(text)} if text is not None else {}
        if case := files[file].get(id_):
            there.add(id_)
            found.append(case)
    return found
