# SPDX-License-Identifier: Apache-2.0
# Debian packages of a build for /usr: cpack -G DEB in its folder makes libmvmi1, libmvmi-dev and
# microvmi of the three components of cmake/install.cmake.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME microvmi)
set(CPACK_PACKAGE_VENDOR microvmi)
set(CPACK_PACKAGE_CONTACT "the microvmi developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Virtual machine introspection")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL library development tool)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)

# What the programs link is read off them; the library is one of ours and in no package yet.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/lib)

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libmvmi1)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "Virtual machine introspection: library")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libmvmi-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Virtual machine introspection: development files")
set(CPACK_DEBIAN_TOOL_PACKAGE_NAME microvmi)
set(CPACK_DEBIAN_TOOL_PACKAGE_SECTION admin)
set(CPACK_COMPONENT_TOOL_DESCRIPTION "Virtual machine introspection: command line")

include(CPack)
cpack_add_component(library)
cpack_add_component(development DEPENDS library)
cpack_add_component(tool DEPENDS library)
