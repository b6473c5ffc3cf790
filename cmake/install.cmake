# SPDX-License-Identifier: Apache-2.0
# What is installed, in the packages that packaging/ makes of it: the library (library), what programs
# are built with (development), the command line (tool), the Python bindings (python).
include(CMakePackageConfigHelpers)

install(TARGETS mvmi EXPORT microvmi-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(TARGETS microvmi RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tool)
install(TARGETS microvmi-guard
  RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/microvmi COMPONENT library)
if(TARGET microvmi-leechcore)
  install(TARGETS microvmi-leechcore
    RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/microvmi COMPONENT library)
endif()
install(DIRECTORY include/microvmi DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN *.hpp PATTERN *.h)

# They load the shared library by its name.
if(BUILD_SHARED_LIBS)
  install(DIRECTORY python/microvmi DESTINATION lib/python3/dist-packages COMPONENT python
    FILES_MATCHING PATTERN *.py)
endif()

# The programs find the library of their own tree, wherever that was put. Below /usr the system
# finds it.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(lib ${CMAKE_INSTALL_FULL_LIBDIR})
  file(RELATIVE_PATH from_bin ${CMAKE_INSTALL_FULL_BINDIR} ${lib})
  file(RELATIVE_PATH from_libexec ${CMAKE_INSTALL_FULL_LIBEXECDIR}/microvmi ${lib})
  set_target_properties(microvmi PROPERTIES INSTALL_RPATH "$ORIGIN/${from_bin}")
  set_target_properties(microvmi-guard PROPERTIES INSTALL_RPATH "$ORIGIN/${from_libexec}")
endif()

# A static library passes on what it was built with; a shared one keeps it to itself.
set(MICROVMI_DEPENDENCIES "")
set(MICROVMI_PRIVATE_LIBRARIES "")
if(NOT BUILD_SHARED_LIBS)
  set(MICROVMI_DEPENDENCIES
    "find_dependency(Threads)\nfind_dependency(fmt)\nfind_dependency(simdjson)\nfind_dependency(tomlplusplus)")
  set(MICROVMI_PRIVATE_LIBRARIES "-ltomlplusplus -lsimdjson -lfmt")
  foreach(library IN LISTS MICROVMI_CODEC_LIBRARIES MICROVMI_BPF_LIBRARIES)
    string(APPEND MICROVMI_PRIVATE_LIBRARIES " ${library}")
  endforeach()
  string(APPEND MICROVMI_PRIVATE_LIBRARIES " -lstdc++ -lm -lpthread")
endif()

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/microvmi)
configure_package_config_file(cmake/microvmi-config.cmake.in microvmi-config.cmake
  INSTALL_DESTINATION ${config_folder} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(microvmi-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT microvmi-targets NAMESPACE microvmi:: DESTINATION ${config_folder}
  COMPONENT development)
install(FILES
  ${PROJECT_BINARY_DIR}/microvmi-config.cmake ${PROJECT_BINARY_DIR}/microvmi-config-version.cmake
  DESTINATION ${config_folder} COMPONENT development)

# The folder of the .pc file leads to the prefix, so that the tree may be moved.
file(RELATIVE_PATH MICROVMI_PC_TO_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/mvmi.pc.in mvmi.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mvmi.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
