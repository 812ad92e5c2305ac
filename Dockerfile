# Two images: `predictor` (or `predictor-with-bundle`, which needs no registry) and `pipeline`.
#   docker build --target predictor -t gradecast-predictor .
#   docker build --target pipeline  -t gradecast-pipeline  .
# A bundle to bake in is looked for in build/bundle: python -m serving.sync --copy-to build/bundle

ARG BASE=docker.io/library/python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# hadolint ignore=DL3006
FROM ${BASE} AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:${PATH} \
    GRADECAST_HOME=/var/lib/gradecast \
    HOME=/tmp \
    DO_NOT_TRACK=true \
    MLFLOW_DISABLE_TELEMETRY=true \
    ORT_DISABLE_TELEMETRY=1
RUN groupadd --gid 10001 gradecast \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gradecast \
    && install --directory --owner=10001 --group=10001 /var/lib/gradecast
WORKDIR /app

FROM base AS pipenv
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIPENV_VERBOSITY=-1 PIPENV_IGNORE_VIRTUALENVS=0
RUN python -m venv /opt/pipenv && /opt/pipenv/bin/pip install --quiet pipenv==2026.10.3 \
    && python -m venv /opt/venv
ENV VIRTUAL_ENV=/opt/venv
WORKDIR /build
COPY Pipfile Pipfile.lock ./

# pip is not needed where nothing is installed any more, nor are the packages' own tests (80 MB).
FROM pipenv AS serving-packages
RUN /opt/pipenv/bin/pipenv sync --categories serving \
    && /opt/venv/bin/python -m pip uninstall --quiet --yes pip setuptools \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} +

FROM pipenv AS pipeline-packages
RUN /opt/pipenv/bin/pipenv sync && /opt/venv/bin/python -m pip uninstall --quiet --yes pip

FROM base AS predictor
LABEL org.opencontainers.image.title="Gradecast predictor" \
      org.opencontainers.image.licenses="MIT"
COPY --from=serving-packages /opt/venv /opt/venv
COPY data data
COPY serving serving
ARG RELEASE=""
ENV GRADECAST_RELEASE=${RELEASE} GRADECAST_HOST=0.0.0.0 PORT=9696
USER 10001:10001
VOLUME /var/lib/gradecast
EXPOSE 9696
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health/live', timeout=4)"]
# The root file system may be read-only: state and uploads are in the volume, /tmp and /dev/shm hold the rest.
CMD ["gunicorn", "--config", "serving/gunicorn.conf.py", "--worker-tmp-dir", "/dev/shm"]

FROM predictor AS predictor-with-bundle
COPY build/bundle /opt/bundle
ENV GRADECAST_MODEL_URI=/opt/bundle

# Flows, the Prefect worker and server, the MLflow server. Debian's newest client is taken, not a fixed
# one: pg_dump must keep up with the server's security updates.
FROM base AS pipeline
LABEL org.opencontainers.image.title="Gradecast pipeline" \
      org.opencontainers.image.licenses="MIT"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=pipeline-packages /opt/venv /opt/venv
COPY prefect.yaml ./
COPY data data
COPY flows flows
ENV PREFECT_HOME=/var/lib/gradecast/prefect \
    PREFECT_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    MPLCONFIGDIR=/tmp/matplotlib \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false
USER 10001:10001
VOLUME /var/lib/gradecast
CMD ["python", "-m", "flows.pipeline", "--help"]
