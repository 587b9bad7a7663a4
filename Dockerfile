# Sidelight's service. Everything is installed by the Makefile's own steps; the second stage leaves make and pip's
# leavings behind. Configuration is mounted at /etc/sidelight.
FROM python:3.11-slim-bookworm AS install
# The base image's release fixes the version of make.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The index with the wanted build of torch; empty is what pip offers by itself.
ARG TORCH_INDEX=
RUN make setup-runtime VENV=/opt/sidelight TORCH_INDEX="${TORCH_INDEX}"

FROM python:3.11-slim-bookworm
COPY --from=install /opt/sidelight /opt/sidelight
# Loopback, the default, would be the container alone.
ENV PATH=/opt/sidelight/bin:$PATH PYTHONUNBUFFERED=1 SIDELIGHT_SERVER__HOST=0.0.0.0
RUN useradd --system --uid 10001 --no-create-home sidelight
USER 10001
EXPOSE 8085 8086
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["sidelight", "health"]
ENTRYPOINT ["sidelight"]
CMD ["serve", "--config", "/etc/sidelight/sidelight.toml"]
