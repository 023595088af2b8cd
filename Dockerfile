# The configuration is a volume with couch-tailor.toml (and a site's own filters beside it); what differs between
# containers, secrets among it, comes from COUCH_TAILOR_* variables or files that COUCH_TAILOR_*_FILE name.

FROM python:3.11-slim AS build
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY proxy proxy
COPY filters filters
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.11-slim
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links=/wheels couch-tailor \
    && useradd --system --uid 5984 --no-create-home --shell /usr/sbin/nologin tailor
USER tailor
ENV COUCH_TAILOR_CONFIG=/etc/couch-tailor/couch-tailor.toml \
    COUCH_TAILOR_BIND=0.0.0.0:5984 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /etc/couch-tailor
EXPOSE 5984
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["python", "-c", \
    "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:5984/_up', timeout=4)"]
ENTRYPOINT ["couch-tailor"]
CMD ["serve"]
