"""docs/http.md is the description, in words."""

from tests.openapi.page import PAGE, rendered


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "run python -m tests.openapi.page"
