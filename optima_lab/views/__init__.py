"""Views of records: figures, tables, the gallery. They read frames and return pictures; none of them knows torch."""
