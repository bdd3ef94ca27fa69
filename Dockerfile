# Three stages: Debian with Python, a build on it, and the image: Debian with Python and what was built.
#
# Debian's Python rather than an image python:3.x-slim: it has the distribution's security updates, and one Python less.
ARG DEBIAN=trixie

FROM debian:${DEBIAN}-slim AS python
# hadolint ignore=DL3008 # pinned versions leave Debian's archive at each security update
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
# Debug symbols of these three and tests of packages: 70 MB.
RUN strip --strip-unneeded /app/lib/python3*/site-packages/asyncpg/*/*.so \
    /app/lib/python3*/site-packages/uvloop/*.so /app/lib/python3*/site-packages/zstandard/*.so \
    && find /app -type d -name tests -prune -exec rm -r {} +
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /build/bin/python -m build --wheel --no-isolation --outdir /dist . \
    && /build/bin/pip --python /app/bin/python install --no-cache-dir --no-deps /dist/*.whl

FROM python
# Group 0 may write in the volume, so that `--user 1234` may: a container's user without a name is in that group.
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
# Alive, whatever the database does: a restart would not help that.
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/app/bin/python", "-IS", "-c", "import http.client, os; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["orchboard"]
CMD ["serve"]
ARG VERSION=0
ARG REVISION=unknown
ARG SOURCE
LABEL org.opencontainers.image.title="orchboard" \
    org.opencontainers.image.description="The orchestrator leaderboard of the Livepeer network: results in, scores out, on Postgres" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
