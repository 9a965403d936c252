"""An executed notebook as a page for reading: ``<name>.html`` beside it.

The template ``page.html.j2`` decides how it looks, `writer` what of the notebook goes into it.
"""

from robnb.notebook_page.writer import as_html

__all__ = ["as_html"]
