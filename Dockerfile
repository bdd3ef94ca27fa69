# Three stages: Debian with Python; the build; the image, which is Debian with Python and the build's result.
#
# Debian's Python rather than python:3.x-slim: it gets the distribution's security updates, and python:3.x-slim contains a second Python.
ARG DEBIAN=trixie

FROM debian:${DEBIAN}-slim AS python
# hadolint ignore=DL3008 # Debian's archive removes a version at each security update, so pinned versions break the build
RUN apt-get update \
    && apt-get upgrade --yes \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /var/log/alternatives.log

FROM python AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements/build.lock requirements/run.lock requirements/
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes --requirement requirements/build.lock \
    && python3 -m venv --without-pip /app \
    && /build/bin/pip --python /app/bin/python install --no-cache-dir --require-hashes --requirement requirements/run.lock
# Debug symbols of these three packages and tests of all packages: 70 MB.
RUN strip --strip-unneeded /app/lib/python3*/site-packages/asyncpg/*/*.so \
    /app/lib/python3*/site-packages/uvloop/*.so /app/lib/python3*/site-packages/zstandard/*.so \
    && find /app -type d -name tests -prune -exec rm -r {} +
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /build/bin/python -m build --wheel --no-isolation --outdir /dist . \
    && /build/bin/pip --python /app/bin/python install --no-cache-dir --no-deps /dist/*.whl

FROM python
# Group 0 may write to the volume, which makes `--user 1234` work: a user without a name is in that group.
RUN useradd --no-log-init --uid 10001 --gid 0 --home-dir /var/lib/orchboard --shell /usr/sbin/nologin orchboard \
    && install --directory --owner=10001 --group=0 --mode=0770 /var/lib/orchboard
COPY --from=build /app /app
ENV PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/var/lib/orchboard \
    HOST=0.0.0.0 \
    PORT=8080 \
    ORCHBOARD_DATA=/var/lib/orchboard/data \
    ORCHBOARD_COMMAND="docker exec CONTAINER orchboard" \
    PYTHONUNBUFFERED=1
USER 10001
VOLUME /var/lib/orchboard
EXPOSE 8080
STOPSIGNAL SIGTERM
# /healthz does not query the database: a restart would not repair a database outage.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/app/bin/python", "-IS", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["orchboard"]
CMD ["serve"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE
LABEL org.opencontainers.image.title="orchboard" \
    org.opencontainers.image.description="Leaderboard server of the Livepeer network on PostgreSQL" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
