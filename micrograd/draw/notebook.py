"""A picture as a notebook shows it: an image, and a script that puts the SVG itself in its place.

`svg` comes before. `explore` puts its picture into its page in the same way.
"""

from __future__ import annotations

import base64
from html import escape


def in_notebook(title: str, svg: str) -> str:
    """An image, which untrusted notebooks show too; scripts replace it by the SVG, with tooltips and text to select."""
    image = f'<img class="jp-mod-unconfined" style="max-width:none" alt="{escape(title)}" src="{data_url(svg)}">'
    inline = (
        '<script>(i=>{i.outerHTML=new TextDecoder().decode(Uint8Array.from(atob(i.src.split(",")[1]),c=>c.charCodeAt()))'
        '.replace("<svg ",\'<svg style="max-width:none" \')})(document.currentScript.previousElementSibling)</script>'
    )
    room = "calc(100% + 20px)"  # JupyterLab pads HTML on the right by 20 px, and drops max-content from untrusted HTML
    return f'<div style="overflow-x:auto;width:{room};width:max-content;max-width:{room}">{image}{inline}</div>'


def data_url(svg: str) -> str:
    """The picture as a data URL."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
