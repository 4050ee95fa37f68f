# The mock service. Build from the root of the repository:
#   docker build -f docker/mock-server.Dockerfile -t scoring-mock .
#   docker run --rm --network host scoring-mock serve
FROM python:3.13-slim-bookworm
WORKDIR /opt/scoring-mock
COPY mock-server/pyproject.toml mock-server/README.md ./
COPY mock-server/src src
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check . \
 && useradd --system --no-create-home mock
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
USER mock
ENTRYPOINT ["scoring-mock"]
CMD ["run"]
