# A queue node in a container: `docker run -e TASKSCHEDULER_URI=mongodb://host/app -e TASKSCHEDULER_JOBS=myapp.jobs IMAGE`
# Your jobs come in with an image of your own: FROM this one, COPY your package to /app, install what it needs.
# It runs with a read-only root and without capabilities: docker run --read-only --tmpfs /tmp --cap-drop ALL …

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
# What makes the list of all that is in the image is not in the image.
RUN python -m venv /opt/sbom
RUN /opt/sbom/bin/pip install --no-cache-dir --disable-pip-version-check cyclonedx-bom==7.5.0
RUN python -m venv /opt/taskscheduler
COPY pyproject.toml README.md LICENSE ./
COPY scheduler scheduler
COPY daemon daemon
RUN /opt/taskscheduler/bin/pip install --no-cache-dir --disable-pip-version-check '.[daemon,cli,web,metrics]'
RUN /opt/sbom/bin/cyclonedx-py environment --output-reproducible --output-file /opt/taskscheduler/sbom.cdx.json /opt/taskscheduler/bin/python

FROM python:3.12-slim-bookworm
ARG VERSION=0.2.0
ARG REVISION=
LABEL org.opencontainers.image.title="taskscheduler" \
    org.opencontainers.image.description="Clustered job scheduling for Python on MongoDB: a queue node, or its web pages" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin taskscheduler
COPY --from=build /opt/taskscheduler /opt/taskscheduler
ENV PATH=/opt/taskscheduler/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001
# The node is PID 1: it installs its own handlers and reaps what its jobs leave behind.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s \
    CMD taskscheduler status --node "${TASKSCHEDULER_NAME:-$(hostname)-1}"
ENTRYPOINT ["taskscheduler"]
CMD ["node"]
