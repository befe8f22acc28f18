"""Contact sheets of prompts, for people to look at."""

from remot.datatools.contact_sheets.page import html_sheet, png_sheet
from remot.datatools.contact_sheets.prompts import rows_of_folder, rows_of_run
from remot.datatools.contact_sheets.rows import SheetRow

__all__ = ["SheetRow", "html_sheet", "png_sheet", "rows_of_folder", "rows_of_run"]
