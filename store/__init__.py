"""Where rows rest between stages: the home folder, the landing area, Parquet batches, the state of each feed, the SQL ledger."""
