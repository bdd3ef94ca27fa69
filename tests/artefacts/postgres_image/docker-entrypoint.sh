#!/bin/bash
# What the image postgres documents of its entrypoint, as far as compose.yaml relies on it.
set -euo pipefail
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    chown postgres "$data" /var/run/postgresql
    POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export POSTGRES_PASSWORD
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$data/PG_VERSION" ]; then
    initdb --pgdata="$data" --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    # As there: by its socket only, until the database is made.
    pg_ctl --pgdata="$data" --wait --options="-c listen_addresses= -k /var/run/postgresql" start >/dev/null
    psql --host=/var/run/postgresql --username="$POSTGRES_USER" --dbname=postgres --quiet --command="CREATE DATABASE \"$POSTGRES_DB\""
    pg_ctl --pgdata="$data" --wait --mode=fast stop >/dev/null
fi
exec "$@" -D "$data" -c "listen_addresses=*" -k /var/run/postgresql
