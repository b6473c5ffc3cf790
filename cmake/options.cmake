# SPDX-License-Identifier: Apache-2.0
# Every option of the build.
set(MICROVMI_DRIVERS "xen;kvm;qemu;memflow" CACHE STRING "Drivers to build")
set(MICROVMI_CONNECTORS "qemu_procfs;kvm;pcileech;coredump" CACHE STRING "Connectors of the memflow driver to build")
option(MICROVMI_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(MICROVMI_TOGETHER "Compile many files of the library and the tests at once; slow after a change" OFF)
option(MICROVMI_BUILD_BENCH "Build the benchmarks" OFF)
option(MICROVMI_BUILD_FUZZERS "Build the libFuzzer targets; needs clang" OFF)

find_program(MICROVMI_CCACHE ccache)
if(MICROVMI_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER ${MICROVMI_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MICROVMI_CCACHE})
endif()
