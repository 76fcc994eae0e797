"""Help texts made from the tables of the registry: the options and parts of every system, and the guides."""

from __future__ import annotations

from collections.abc import Mapping

from .. import registry
from ..protocols.system import Option


def option_text(name: str, option: Option) -> str:
    """An option in words: its name, help, range and default."""
    default = "the preset's" if option.default is None else option.default
    return f"{name} ({option.help}; {option.range_text()}; default: {default})"


def _listed(owners: Mapping[str, Mapping[str, Option]]) -> str:
    """The options of every owner that has some."""
    return " ".join(f"{owner}: {', '.join(option_text(n, o) for n, o in options.items())}."
                    for owner, options in owners.items() if options)


def _settings_help() -> str:
    text = "NAME=VALUE, an option of the system; may be repeated. "
    guides = {f"guide {g.name}": {f"{g.name}.{n}": o for n, o in g.options.items()} for g in registry.GUIDES.values()}
    return text + _listed({s.name: s.options for s in registry.SYSTEMS.values()} | guides)


def _parts_help() -> str:
    parts = "; ".join(f"{s.name}: {', '.join(s.parts)}" for s in registry.SYSTEMS.values() if s.parts)
    return ("NAME=FOLDER, in place of a bundled part; may be repeated. "
            f"{parts}; timing: weights of the timing reader")


def _guides_help() -> str:
    names = ", ".join(f"{g.name} ({g.summary})" for g in registry.GUIDES.values())
    return f"moves the latents during denoising: {names + ', or ' if names else ''}module:function; may be repeated"


SETTINGS_HELP, PARTS_HELP, GUIDES_HELP = _settings_help(), _parts_help(), _guides_help()
