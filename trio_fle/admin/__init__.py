"""Who may ask a member what it is: HTTP, and ZooKeeper's four-letter words."""

from trio_fle.admin.serve import serve_admin

__all__ = ["serve_admin"]
