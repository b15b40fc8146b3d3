# Run by `cmake --install` for one daemon: its unit, its configuration and its environment file, with the paths of this
# prefix, and its manual page. Takes `daemon` ("probe"), its `program`, `source` (deploy/) and `made`, a folder to make them
# in.
set(BINDIR ${CMAKE_INSTALL_PREFIX}/bin)
set(DOCDIR ${CMAKE_INSTALL_PREFIX}/share/doc)
# As the file system's standard has it: what is installed into /usr is configured in /etc.
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(SYSCONFDIR /etc)
else()
  set(SYSCONFDIR ${CMAKE_INSTALL_PREFIX}/etc)
endif()
# Several installations may be under way at once.
string(RANDOM LENGTH 16 own)
set(made ${made}/${own})
file(READ ${source}/systemd/hardening.conf HARDENING)
string(STRIP "${HARDENING}" HARDENING)

# from TEMPLATE to FOLDER under NAME, unless it is there and may have been edited.
function(pgpulse_put template folder name keep)
  if(keep AND EXISTS "$ENV{DESTDIR}${folder}/${name}")
    message(STATUS "Kept: $ENV{DESTDIR}${folder}/${name}")
    return()
  endif()
  configure_file(${source}/${template} ${made}/${template} @ONLY)
  file(INSTALL ${made}/${template} DESTINATION ${folder} RENAME ${name}
    PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

pgpulse_put(systemd/pgpulse-${daemon}.service ${CMAKE_INSTALL_PREFIX}/lib/systemd/system
  pgpulse-${daemon}.service FALSE)
pgpulse_put(config/${daemon}.toml ${SYSCONFDIR}/pgpulse ${daemon}.toml TRUE)
pgpulse_put(default/pgpulse-${daemon} ${SYSCONFDIR}/default pgpulse-${daemon} TRUE)

execute_process(COMMAND ${program} --print-manual OUTPUT_FILE ${made}/manual RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${program} --print-manual: ${failed}")
endif()
file(INSTALL ${made}/manual DESTINATION ${CMAKE_INSTALL_PREFIX}/share/man/man8 RENAME pgpulse-${daemon}.8)
file(REMOVE_RECURSE ${made})
