"""The database schema: migrations, the tables that record their versions, and creating the database.

May import `store.connection`. Start reading at `migrate.py`.
"""
