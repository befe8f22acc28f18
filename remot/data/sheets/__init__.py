"""Contact sheets of prompts, for people to look at."""

from remot.data.sheets.built_tasks import rows_of_built_tasks
from remot.data.sheets.choose import SheetRow, choose_rows
from remot.data.sheets.page import html_sheet
from remot.data.sheets.picture import png_sheet
from remot.data.sheets.prompts import rows_of_run

__all__ = ["SheetRow", "choose_rows", "html_sheet", "png_sheet", "rows_of_built_tasks", "rows_of_run"]
