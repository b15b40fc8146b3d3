# Stands in for nats:*-alpine: nats-server as the command, busybox's wget for health checks.
FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends busybox nats-server \
 && ln -s /bin/busybox /usr/local/bin/wget \
 && rm -rf /var/lib/apt/lists/*
EXPOSE 4222 8222 6222
ENTRYPOINT ["/usr/sbin/nats-server"]
