"""etcd's refusals in matters of authentication, with its codes and messages."""

from __future__ import annotations

from pilothouse.store.wire.rpc import RpcError, Status


class AuthError(RpcError):
    status_of_class = Status.FAILED_PRECONDITION
    message = ""

    def __init__(self) -> None:
        super().__init__(self.status_of_class, f"etcdserver: {self.message}")


class RootUserNotExist(AuthError):
    message = "root user does not exist"


class RootRoleNotExist(AuthError):
    message = "root user does not have root role"


class UserAlreadyExist(AuthError):
    message = "user name already exists"


class UserEmpty(AuthError):
    status_of_class = Status.INVALID_ARGUMENT
    message = "user name is empty"


class UserNotFound(AuthError):
    message = "user name not found"


class RoleAlreadyExist(AuthError):
    message = "role name already exists"


class RoleNotFound(AuthError):
    message = "role name not found"


class RoleEmpty(AuthError):
    status_of_class = Status.INVALID_ARGUMENT
    message = "role name is empty"


class AuthFailed(AuthError):
    status_of_class = Status.INVALID_ARGUMENT
    message = "authentication failed, invalid user ID or password"


class PermissionNotGiven(AuthError):
    status_of_class = Status.INVALID_ARGUMENT
    message = "permission not given"


class PermissionDenied(AuthError):
    status_of_class = Status.PERMISSION_DENIED
    message = "permission denied"


class RoleNotGranted(AuthError):
    message = "role is not granted to the user"


class PermissionNotGranted(AuthError):
    message = "permission is not granted to the role"


class AuthNotEnabled(AuthError):
    message = "authentication is not enabled"


class InvalidAuthToken(AuthError):
    status_of_class = Status.UNAUTHENTICATED
    message = "invalid auth token"


class InvalidAuthManagement(AuthError):
    status_of_class = Status.INVALID_ARGUMENT
    message = "invalid auth management"


class AuthOldRevision(AuthError):
    status_of_class = Status.INVALID_ARGUMENT
    message = "revision of auth store is old"


class NoPasswordUser(RpcError):
    """etcd has no code for it."""

    def __init__(self) -> None:
        super().__init__(Status.UNKNOWN, "auth: authentication failed, password was given for no password user")
