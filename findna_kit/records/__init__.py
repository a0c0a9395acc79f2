"""What runs' folders say of themselves, read without torch: one run's record, a list of many, which is best, what differs."""

from findna_kit.records.run_record import precision_of, read_record, refuse_missing

__all__ = ["precision_of", "read_record", "refuse_missing"]
