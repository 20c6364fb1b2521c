"""Where rows rest between stages: home folder, landing area, Parquet batches, state of each feed, SQL ledger."""
