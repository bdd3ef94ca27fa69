"""The OpenAPI document and the page made from it, both generated from ROUTES.

May import `api`, `answers` and what lies below them. Start reading at `openapi.py`.
"""
