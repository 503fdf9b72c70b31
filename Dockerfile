# A queue node in a container: `docker run -e TASKSCHEDULER_URI=mongodb://host/app -e TASKSCHEDULER_JOBS=myapp.jobs IMAGE`
# Your jobs come in with an image of your own: FROM this one, COPY your package to /app, install what it needs.

FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/taskscheduler
COPY pyproject.toml README.md LICENSE ./
COPY scheduler scheduler
COPY daemon daemon
RUN /opt/taskscheduler/bin/pip install --no-cache-dir --disable-pip-version-check '.[daemon,cli,web]'

FROM python:3.12-slim-bookworm
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
