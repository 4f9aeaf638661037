# syntax=docker/dockerfile:1
#
#   docker build -t keyact .
#   docker run --rm -p 127.0.0.1:8000:8000 -e KEYACT_TOKEN="$(openssl rand -hex 24)" keyact

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/keyact \
    && /opt/keyact/bin/python -m pip install --no-cache-dir ".[serve]"

FROM python:3.13-slim
COPY --from=build /opt/keyact /opt/keyact
# Uploads wait in /tmp, which may be the only place that can be written to.
ENV PATH=/opt/keyact/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    KEYACT_HOME=/var/lib/keyact
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin keyact \
    && install -d -o keyact /var/lib/keyact/models
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=4)"]
# Refuses to start without KEYACT_TOKEN, since other machines can reach it.
ENTRYPOINT ["keyact", "serve", "--host", "0.0.0.0", "--port", "8000", "--log", "json"]
