# One image for the three daemons and the operator's program; the container's command names the one that runs.
FROM debian:12-slim AS build
WORKDIR /src
COPY scripts/packages.sh scripts/
RUN scripts/packages.sh build
COPY . .
RUN cmake --preset release -DPGPULSE_BENCH=OFF \
 && cmake --build --preset release \
 && strip build/release/bin/*

FROM debian:12-slim
# curl is for health checks; its library is the bridge's.
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      ca-certificates curl libcpp-httplib0.11 libcurl4 libfmt9 libnats3.4 libpq5 libprometheus-cpp-core1.0 libspdlog1.10 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pgpulse
COPY --from=build /src/build/release/bin/ /usr/local/bin/
USER pgpulse
# A shared library missing above fails the build here.
RUN for program in pgpulse pgpulse-probe pgpulse-aggregator pgpulse-consul-bridge; do $program --version || exit 1; done
CMD ["pgpulse", "--help"]
