# Two stages: a wheel and its locked dependencies, then nothing but them.
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements requirements
RUN python -m venv /app && /app/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock \
    && pip install --no-cache-dir --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m build --wheel --no-isolation --outdir /dist . \
    && /app/bin/pip install --no-cache-dir --no-deps /dist/*.whl

FROM python:3.13-slim
RUN useradd --system --create-home --home-dir /var/lib/orchboard orchboard
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH HOST=0.0.0.0 PORT=8080 ORCHBOARD_DATA=/var/lib/orchboard/data PYTHONUNBUFFERED=1
USER orchboard
VOLUME /var/lib/orchboard
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, whatever the database does: a restart would not help that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["orchboard"]
CMD ["serve"]
