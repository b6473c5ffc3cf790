# SPDX-License-Identifier: Apache-2.0
# cmake -D OBJECT=file -D NAME=kName -D OUT=file.cpp -P embed.cmake: the file's bytes as an array.
file(READ ${OBJECT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "// Made by cmake/embed.cmake.
#include <cstddef>
namespace microvmi::host {
extern const unsigned char ${NAME}[];
extern const std::size_t ${NAME}Size;
alignas(8) const unsigned char ${NAME}[] = {${bytes}};
const std::size_t ${NAME}Size = sizeof ${NAME};
}  // namespace microvmi::host
")
