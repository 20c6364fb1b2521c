"""The real servers of the reference county, for tests that need one."""

from demo.reference_county.servers import (
    PostgresServer,
    ServerMissing,
    SftpServer,
    free_port,
    make_key,
    postgres_server,
    sftp_server,
)

__all__ = [
    "PostgresServer", "ServerMissing", "SftpServer", "free_port", "make_key", "postgres_server", "sftp_server",
]  # fmt: skip
