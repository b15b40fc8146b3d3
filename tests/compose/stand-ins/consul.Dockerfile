# Stands in for hashicorp/consul: Debian 11 is the last release with a consul package. It is moved into place, because
# extracting the package at / would replace the /lib symlink by a folder.
FROM debian:12-slim
RUN sed -n 's/ bookworm main$/ bullseye main/p' /etc/apt/sources.list > /tmp/bullseye.list \
 && options="-o Dir::Etc::SourceList=/tmp/bullseye.list -o Dir::Etc::SourceParts=/dev/null" \
 && apt-get $options update \
 && cd /tmp \
 && apt-get $options download consul \
 && dpkg --extract consul_*.deb unpacked \
 && mv unpacked/usr/bin/consul /usr/local/bin/ \
 && rm -rf /tmp/* /var/lib/apt/lists/* \
 && useradd --system --no-create-home --shell /usr/sbin/nologin consul \
 && mkdir -p /consul/data /consul/config \
 && chown -R consul: /consul
COPY consul-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /consul/data
EXPOSE 8500 8600 8600/udp
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["agent", "-dev", "-client", "0.0.0.0"]
