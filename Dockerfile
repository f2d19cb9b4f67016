FROM python:3.13-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libldap-dev libsasl2-dev \
 && rm -rf /var/lib/apt/lists/*
ENV UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY requirements/ requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/uv.txt \
 && uv venv -q /opt/build && uv venv -q /opt/scimd \
 && uv pip install -q --python /opt/build/bin/python --require-hashes -r requirements/build.txt \
 && uv pip install -q --python /opt/scimd/bin/python --require-hashes -r requirements/build.txt \
 && uv pip install -q --python /opt/scimd/bin/python --require-hashes --no-build-isolation --compile-bytecode \
      -r requirements/ldap.txt \
 && uv pip uninstall -q --python /opt/scimd/bin/python setuptools hatchling editables trove-classifiers
COPY pyproject.toml README.md LICENSE ./
COPY scimd/ scimd/
COPY connectors/ connectors/
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist \
 && uv pip install -q --python /opt/scimd/bin/python --no-deps --compile-bytecode /dist/*.whl

FROM python:3.13-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libldap-2.5-0 libsasl2-2 libsasl2-modules \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --create-home scimd
COPY --from=build /opt/scimd /opt/scimd
ENV PATH=/opt/scimd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SCIMD_SERVER__HOST=0.0.0.0
USER scimd
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('SCIMD_SERVER__PORT', 8080)}/healthz\", timeout=4)"]
ENTRYPOINT ["scimd"]
CMD ["serve"]
