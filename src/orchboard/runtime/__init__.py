"""What any long-running program needs: supervised background tasks, task helpers, logs.

May import `errors` only. Start reading at `supervised_tasks.py`.
"""
