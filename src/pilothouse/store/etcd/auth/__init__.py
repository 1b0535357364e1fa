"""etcd's users, roles and permissions: `book` holds them, `tokens` says who is calling, `guard` judges calls,
`service` is the API.
"""
