"""`findna-kit report`: runs and studies as one HTML page that needs nothing else, no network and no script."""

from findna_kit.report.page import ReportRequest, write_report

__all__ = ["ReportRequest", "write_report"]
