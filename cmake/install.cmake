# What `cmake --install` puts where, in one component a package: the four programs, the daemons' units and
# configuration, and the documents.

install(TARGETS pgpulse-probe RUNTIME DESTINATION bin COMPONENT probe)
install(TARGETS pgpulse-aggregator RUNTIME DESTINATION bin COMPONENT aggregator)
install(TARGETS pgpulse-consul-bridge RUNTIME DESTINATION bin COMPONENT consul-bridge)
install(TARGETS pgpulse RUNTIME DESTINATION bin COMPONENT ctl)

# A unit names absolute paths, and the prefix may be another than the build was configured for: they are put in when it
# is installed.
foreach(daemon probe aggregator consul-bridge)
  install(CODE "
    set(daemon ${daemon})
    set(program \"$<TARGET_FILE:pgpulse-${daemon}>\")
    set(source \"${PROJECT_SOURCE_DIR}/deploy\")
    set(made \"${PROJECT_BINARY_DIR}/installed\")
    include(\"${PROJECT_SOURCE_DIR}/cmake/install_daemon.cmake\")" COMPONENT ${daemon})
endforeach()

install(CODE "
  set(program \"$<TARGET_FILE:pgpulse>\")
  set(made \"${PROJECT_BINARY_DIR}/installed\")
  include(\"${PROJECT_SOURCE_DIR}/cmake/install_command.cmake\")" COMPONENT ctl)
install(FILES README.md DESTINATION share/doc/pgpulse COMPONENT ctl)
install(DIRECTORY docs/ DESTINATION share/doc/pgpulse/docs COMPONENT ctl FILES_MATCHING PATTERN "*.md")
install(DIRECTORY deploy/ DESTINATION share/doc/pgpulse/examples COMPONENT ctl
  PATTERN systemd EXCLUDE
  PATTERN config EXCLUDE
  PATTERN default EXCLUDE)
