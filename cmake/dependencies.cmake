# SPDX-License-Identifier: Apache-2.0
# What the library, the tool and the tests are built on; all of it packaged by Debian.
find_package(Threads REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(simdjson 3.0 REQUIRED)
find_package(tomlplusplus QUIET)
if(NOT tomlplusplus_FOUND)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
  add_library(tomlplusplus::tomlplusplus ALIAS PkgConfig::tomlplusplus)
endif()

# Libraries that pages of images are compressed with. Where one is absent the build does without,
# and an image that needs it says so.
find_package(PkgConfig)
set(MICROVMI_CODECS "")
set(MICROVMI_CODEC_LIBRARIES "")
foreach(pair "zlib|libdeflate" "snappy|snappy" "zstd|libzstd")
  string(REPLACE "|" ";" pair ${pair})
  list(GET pair 0 codec)
  list(GET pair 1 module)
  set(${codec}_FOUND FALSE)
  if(PkgConfig_FOUND)
    pkg_check_modules(${codec} QUIET ${module})
  endif()
  if(${codec}_FOUND)
    list(APPEND MICROVMI_CODECS ${codec})
    list(APPEND MICROVMI_CODEC_LIBRARIES ${${codec}_LINK_LIBRARIES})
  else()
    message(STATUS "no ${module}: images with ${codec} pages will not be read")
  endif()
endforeach()

# BPF programs that read what the kernel alone knows: made by clang, loaded by libbpf. Where one is
# absent the build does without.
set(MICROVMI_BPF OFF)
set(MICROVMI_BPF_LIBRARIES "")
find_program(MICROVMI_BPF_CLANG NAMES clang-19 clang clang-18 clang-17 clang-16 clang-15 clang-14)
if(PkgConfig_FOUND AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  pkg_check_modules(libbpf QUIET libbpf>=1.0)
endif()
if(libbpf_FOUND AND MICROVMI_BPF_CLANG)
  set(MICROVMI_BPF ON)
  set(MICROVMI_BPF_LIBRARIES ${libbpf_LINK_LIBRARIES})
else()
  message(STATUS "no libbpf or no clang: memory slots of KVM will not be read from the kernel")
endif()

# Headers of Xen, for the xen driver; where they are absent it says so.
find_path(MICROVMI_XEN_HEADERS xenctrl.h DOC "Folder of Xen's public headers")
mark_as_advanced(MICROVMI_XEN_HEADERS)
