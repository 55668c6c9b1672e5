"""Errors of sockets and resolvers, as the system raises them."""

import errno
import os
import socket

IN_USE = OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
UNRESOLVED = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
