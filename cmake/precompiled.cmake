# SPDX-License-Identifier: Apache-2.0
# Headers that nearly every file reads, compiled once for a target. Not with a compiler cache, whose
# hits are worth more; so a build with ccache still proves that each file includes what it uses.
set(MICROVMI_STANDARD_HEADERS
  <algorithm> <array> <chrono> <cstdint> <expected> <filesystem> <functional> <map> <memory>
  <optional> <span> <string> <string_view> <variant> <vector>)

function(microvmi_precompile target)
  if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    target_precompile_headers(${target} PRIVATE ${MICROVMI_STANDARD_HEADERS} ${ARGN})
  endif()
endfunction()

# The programs of a folder and those below it that link what `owner` links take its headers.
function(microvmi_share_precompiled owner library folder)
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    return()
  endif()
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(libraries ${target} LINK_LIBRARIES)
    if(library IN_LIST libraries AND NOT target STREQUAL owner)
      target_precompile_headers(${target} REUSE_FROM ${owner})
    endif()
  endforeach()
  get_property(folders DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(below IN LISTS folders)
    microvmi_share_precompiled(${owner} ${library} ${below})
  endforeach()
endfunction()
