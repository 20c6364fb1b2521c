"""The doors through which extracts come: SFTP, a database, a local folder. What came is kept by `store.landing`."""
