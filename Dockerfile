# docker build -t inference-gateway .
# docker run -p 8080:8080 -v "$PWD/gateway.yaml:/etc/gateway/gateway.yaml:ro" inference-gateway
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY config ./config
COPY gateway ./gateway
RUN python -m venv /opt/gateway \
 && /opt/gateway/bin/pip install --no-cache-dir --no-compile . \
 && /opt/gateway/bin/python -m compileall -q /opt/gateway/lib

FROM python:3.12-slim
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=10s CMD ["gateway", "healthcheck"]
ENTRYPOINT ["gateway"]
CMD ["run", "-c", "/etc/gateway/gateway.yaml"]
