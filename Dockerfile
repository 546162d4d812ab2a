# Pixora under gunicorn, on port 8000. Plain HTTP: for nginx in front of it see compose.yaml.
#
#   docker build -t pixora .
#   docker run -e MONGO_URI=mongodb://… -e SECRET_KEY=… -p 127.0.0.1:8000:8000 pixora

# --- What the result runs on: Debian and its Python 3.13 ---------------------------------------------------------

# Pinned, so that what was tested is what is built. The digests of Docker's official images are published in
# https://github.com/docker-library/repo-info; docs/deployment.md has the command that prints the newest.
ARG BASE=docker.io/library/debian:trixie-slim@sha256:3a39a0592364683e6bab97937b72cad5a8fa6dcbbee90edb3bb48c7f8e94f258
FROM ${BASE} AS base
# ca-certificates: MongoDB Atlas and SMTP servers are spoken to over TLS. Removed is what slim images leave out.
# Upgraded first: a pinned base does not have the security updates since.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get upgrade -y \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/share/locale/* /usr/share/man/* /usr/share/info/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pixora

# --- What is only needed to build it ------------------------------------------------------------------------------

FROM base AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
WORKDIR /app
# Before the code, so that a change of code alone does not install again. Wheels only: a source distribution would
# run its own program here, and want a compiler.
# For tracing: --build-arg REQUIREMENTS=requirements-tracing.txt
ARG REQUIREMENTS=requirements.txt
COPY ${REQUIREMENTS} requirements.txt
RUN python3 -m venv /tmp/pip \
    && python3 -m venv --without-pip /opt/venv \
    && /tmp/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
        --require-hashes --no-deps --only-binary :all: --no-compile -r requirements.txt
COPY . .
# Compiled now, because the service may not write there; and not compared with the sources at every start, because
# nobody else may either. The modes are the image's, whatever the umask was where the code was checked out.
RUN rm requirements*.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv /app \
    && chmod -R u=rwX,go=rX /opt/venv /app

# --- The result ---------------------------------------------------------------------------------------------------

# From nothing, and not from base: what was removed there is then gone, instead of hidden in a lower layer.
FROM scratch
COPY --from=base / /
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app

# PYTHONUNBUFFERED: a log line is out when it is written, also if the process is killed next.
# PYTHONDONTWRITEBYTECODE: there is nowhere to write it.
# MALLOC_ARENA_MAX: glibc would give each of the many threads a heap of its own and keep them all.
# DERIVE_JWT_KEY: SECRET_KEY alone is enough to start with.
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_ARENA_MAX=2 \
    DERIVE_JWT_KEY=true

WORKDIR /app
# By number, so that Kubernetes can see that it is not root. Everything in the image belongs to root.
USER 10001:10001
EXPOSE 8000
# gunicorn takes no new requests and finishes those it has, for at most 30 seconds: give it a little more.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD python -c 'import http.client, sys; \
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=9); \
    connection.request("GET", "/health"); \
    sys.exit(connection.getresponse().status != 200)'
# Workers, threads and all else: gunicorn.conf.py.
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "wsgi:app"]
