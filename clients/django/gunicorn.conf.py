"""How gunicorn serves the Django application; the tables of the users are made before its workers start."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = 2
threads = 8
control_socket_disable = True


def on_starting(server):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    connections.close_all()
