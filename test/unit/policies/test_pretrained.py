"""Pretrained encoders come from this machine first, and from the hub only if it has none."""

from __future__ import annotations

import pytest

from vla_ros.errors import CheckpointError
from vla_ros.policies.pretrained import load_local_first

HERE, HUB = {'local_files_only': True}, {}


class Loader:
    """Loads as a class of transformers does, from some places, and writes down who asked where."""

    def __init__(self, *places: dict[str, bool], error: type[Exception] = OSError) -> None:
        self.asked: list[tuple[str, dict[str, bool]]] = []
        self._places, self._error = places, error

    def from_pretrained(self, name: str, **settings: bool) -> str:
        self.asked.append((name, settings))
        if settings not in self._places:
            raise self._error(f"'{name}' is not there")
        return f'the encoder {name}'


def test_what_is_on_this_machine_is_not_asked_for_elsewhere() -> None:
    loader = Loader(HERE, HUB)
    assert load_local_first(loader, 'some/bert') == 'the encoder some/bert'
    assert loader.asked == [('some/bert', HERE)]


@pytest.mark.parametrize('error', [OSError, ValueError])
def test_the_hub_is_asked_where_this_machine_has_nothing(error: type[Exception]) -> None:
    loader = Loader(HUB, error=error)
    assert load_local_first(loader, 'some/bert') == 'the encoder some/bert'
    assert loader.asked == [('some/bert', HERE), ('some/bert', HUB)]


@pytest.mark.parametrize('error', [OSError, ValueError])
def test_what_is_in_neither_place_is_named(error: type[Exception]) -> None:
    loader = Loader(error=error)
    with pytest.raises(CheckpointError, match=r"'some/bert' is neither on this .* use 'small'"):
        load_local_first(loader, 'some/bert')
    assert loader.asked == [('some/bert', HERE), ('some/bert', HUB)]
