"""A profile's page: ``outputs/<profile>/index.html``, made of what the notebooks have left beside it.

`products` and `essay` read that, `page` writes it with the template ``page.html.j2``. The page holds relative links
only, no script, and nothing that is fetched from elsewhere.
"""

from robnb.report.page import write

__all__ = ["write"]
