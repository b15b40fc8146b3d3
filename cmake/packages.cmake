# Debian packages, one a program: `scripts/package.sh`.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pgpulse)
set(CPACK_PACKAGE_VENDOR pgpulse)
set(CPACK_PACKAGE_CONTACT "pgpulse maintainers <maintainers@users.noreply.r-seed-485c8d85.example>")
# CPack puts a summary of its own before each package's, unless it is this one.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${CMAKE_PROJECT_NAME} built using CMake")
set(CPACK_STRIP_FILES ON)
# With DESTDIR the programs are installed for the prefix that they will have, and the configuration goes to /etc.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL probe aggregator consul-bridge ctl)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_CTL_PACKAGE_NAME pgpulse)
set(CPACK_COMPONENT_CTL_DESCRIPTION "health of Postgres fleets: the operator's command
pgpulse says which Postgres servers are up, as NATS has it, and changes which are
watched. With the documents of all programs.")
set(CPACK_DEBIAN_PROBE_PACKAGE_NAME pgpulse-probe)
set(CPACK_COMPONENT_PROBE_DESCRIPTION "health of Postgres fleets: the worker that pings
pgpulse-probe pings Postgres servers the way pg_isready does, without a password and
without an extension in the database, and publishes every result on NATS.")
set(CPACK_DEBIAN_AGGREGATOR_PACKAGE_NAME pgpulse-aggregator)
set(CPACK_COMPONENT_AGGREGATOR_DESCRIPTION "health of Postgres fleets: who decides
pgpulse-aggregator folds the results of all pgpulse-probe workers into one state a
server, and writes every transition into a JetStream bucket.")
set(CPACK_DEBIAN_CONSUL-BRIDGE_PACKAGE_NAME pgpulse-consul-bridge)
set(CPACK_COMPONENT_CONSUL-BRIDGE_DESCRIPTION "health of Postgres fleets: states in Consul
pgpulse-consul-bridge carries every transition of a server's state into Consul's KV
store and health checks, so that its watches and its DNS follow.")

# Neither enabled nor started by its installation; stopped when it is removed, and restarted by an upgrade where it runs.
foreach(daemon probe aggregator consul-bridge)
  string(TOUPPER ${daemon} component)
  set(CPACK_DEBIAN_${component}_PACKAGE_RECOMMENDS pgpulse)
  set(control "")
  foreach(file conffiles postinst prerm postrm)
    configure_file(cmake/debian/${file}.in ${PROJECT_BINARY_DIR}/debian/${daemon}/${file} @ONLY)
    list(APPEND control ${PROJECT_BINARY_DIR}/debian/${daemon}/${file})
  endforeach()
  set(CPACK_DEBIAN_${component}_PACKAGE_CONTROL_EXTRA "${control}")
endforeach()
set(CPACK_DEBIAN_PROBE_PACKAGE_SUGGESTS "nats-server")
set(CPACK_DEBIAN_AGGREGATOR_PACKAGE_SUGGESTS "nats-server")

include(CPack)
