"""Pieces of a page that opens offline. Whatever comes from a file or a user passes through `text`, which escapes it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

MAX_TEXT = 600  # characters of a caption, note or command that are shown
MAX_ROWS = 200  # of a list of missing clips


def text(value: object) -> str:
    """Anything as HTML text, safe inside quoted attributes too, cut after MAX_TEXT characters."""
    full = str(value)
    return escape(full if len(full) <= MAX_TEXT else full[:MAX_TEXT - 1] + "…", quote=True)


def number(value: float | None) -> str:
    """A value to four digits, from 10,000 on to whole numbers; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def plain(value: object) -> str:
    """A JSON value in a cell: texts as they are, lists and objects in a readable line, null as a dash."""
    if value is None or value == {} or value == []:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{text(key)} {plain(part)}" for key, part in value.items())
    return text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], hidden: int = 0) -> str:
    """A table whose first cells head their rows; all cells are HTML already. `hidden` rows are counted below it.

    It scrolls by itself where the page is narrow, also by keyboard.
    """
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
                   for first, *rest in rows)
    more = f"<p>and {hidden} more, which the JSON names</p>" if hidden else ""
    return (f'<div class="wide" role="region" aria-label="{caption}" tabindex="0"><table><caption>{caption}</caption>'
            f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{more}")


def section(anchor: str, title: str, body: str) -> str:
    """A part of the page with its heading; empty where there is nothing to show."""
    if not body:
        return ""
    return f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{title}</h2>{body}</section>'


def data_uri(kind: str, data: bytes) -> str:
    """Bytes inside the page."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def page(title: str, intro: str, sections: Mapping[str, tuple[str, str]], footer: str) -> str:
    """A whole document of sections, anchor -> (title, HTML), with the style and the script of this folder inside.

    Its content policy lets the browser load nothing but data inside the page, and run no script but this one.
    """
    here = files("postsync.evaluation")
    script = (here / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template((here / "report.html").read_text(encoding="utf-8")).substitute(
        title=text(title), intro=intro, footer=footer, script=script, script_hash=f"'sha256-{digest}'",
        style=(here / "report.css").read_text(encoding="utf-8"),
        nav="".join(f'<a href="#{anchor}">{name}</a>' for anchor, (name, body) in sections.items() if body),
        sections="".join(section(anchor, name, body) for anchor, (name, body) in sections.items()))
