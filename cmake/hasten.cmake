# Functions the build is written in: hasten_room, hasten_library, hasten_program, hasten_test
# (hasten_products: products.cmake).

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()

option(HASTEN_WERROR "Treat warnings as errors" ON)
set(HASTEN_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")

option(HASTEN_FUZZ "Build the fuzz targets of fuzz/ (needs clang)" OFF)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(libcrypto REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(libcurl REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(libedit REQUIRED IMPORTED_TARGET libedit)
pkg_check_modules(libmicrohttpd REQUIRED IMPORTED_TARGET libmicrohttpd)

# One set of objects for the program, libhasten.a and libhasten.so.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
configure_file(include/hasten/version.h.in include/hasten/version.h @ONLY)

add_library(hasten_flags INTERFACE)
target_include_directories(hasten_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include
    ${CMAKE_BINARY_DIR}/include)
target_compile_definitions(hasten_flags INTERFACE _GNU_SOURCE)
# -ffp-contract=off: clang fuses a*b+c even with -std=c11, and a fused product changes bits;
# multiply-adds are fused only where the source says so (fmaf, intrinsics).
target_compile_options(hasten_flags INTERFACE
    -ffp-contract=off -fno-common -fvisibility=hidden
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wcast-qual
    -Wwrite-strings -Wformat=2 -Wdouble-promotion)
if(HASTEN_WERROR)
    target_compile_options(hasten_flags INTERFACE -Werror)
endif()
if(HASTEN_SANITIZE)
    target_compile_options(hasten_flags INTERFACE -fsanitize=${HASTEN_SANITIZE}
        -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(hasten_flags INTERFACE -fsanitize=${HASTEN_SANITIZE})
endif()
target_link_libraries(hasten_flags INTERFACE Threads::Threads m)

# hasten_room(NAME ROOMS...): static library hasten_NAME from src/NAME/**/*.c. Files named
# *__avx2.c and *__avx512vnni.c get the flags of that machine class, no others do.
function(hasten_room name)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
    if(NOT sources)
        return()
    endif()
    add_library(hasten_${name} STATIC ${sources})
    foreach(source ${sources})
        if(source MATCHES "__avx2\\.c$")
            set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
                "-mavx2;-mfma;-mf16c;-mbmi2")
        elseif(source MATCHES "__avx512vnni\\.c$")
            set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
                "-mavx2;-mfma;-mf16c;-mbmi2;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512vnni;-mprefer-vector-width=512")
        endif()
    endforeach()
    target_link_libraries(hasten_${name} PRIVATE hasten_flags)
    foreach(room ${ARGN})
        if(TARGET hasten_${room})
            target_link_libraries(hasten_${name} PUBLIC hasten_${room})
        endif()
    endforeach()
endfunction()

# hasten_library(ROOM TARGETS...): outside libraries a room links, as PkgConfig:: targets; libhasten
# links them too, and hasten.pc names them for who links libhasten.a.
function(hasten_library room)
    if(NOT TARGET hasten_${room})
        return()
    endif()
    target_link_libraries(hasten_${room} PUBLIC ${ARGN})
    foreach(library ${ARGN})
        string(REPLACE "PkgConfig::" "" prefix ${library})
        set_property(GLOBAL APPEND PROPERTY HASTEN_LIBRARIES ${library})
        set_property(GLOBAL APPEND PROPERTY HASTEN_PC_LIBRARIES ${${prefix}_LIBRARIES})
    endforeach()
endfunction()

# hasten_embed(ROOM FILE SYMBOL): the bytes of FILE, plus a final 0, become `const unsigned char
# SYMBOL[]` with `const unsigned long SYMBOL_bytes` in the room. The C file is written to the build
# folder when the build is configured, and again when FILE changes.
function(hasten_embed room file symbol)
    if(NOT TARGET hasten_${room})
        return()
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
    file(READ ${CMAKE_SOURCE_DIR}/${file} hex HEX)
    string(LENGTH "${hex}" digits)
    math(EXPR bytes "${digits} / 2")
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/embedded/${symbol}.c @ONLY CONTENT
"/* Bytes of ${file}. */
extern const unsigned char ${symbol}[];
extern const unsigned long ${symbol}_bytes;
const unsigned char ${symbol}[] = {
${hex}0};
const unsigned long ${symbol}_bytes = ${bytes};
")
    target_sources(hasten_${room} PRIVATE ${CMAKE_BINARY_DIR}/embedded/${symbol}.c)
endfunction()

# hasten_program(NAME FOLDER ROOMS-OR-TARGETS...)
function(hasten_program name folder)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.c)
    if(NOT sources)
        return()
    endif()
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE hasten_flags)
    foreach(item ${ARGN})
        if(TARGET hasten_${item})
            target_link_libraries(${name} PRIVATE hasten_${item})
        else()
            target_link_libraries(${name} PRIVATE ${item})
        endif()
    endforeach()
endfunction()

# hasten_test(FILE ROOMS...): program from one test file, registered in CTest under the file's name.
function(hasten_test file)
    get_filename_component(name ${file} NAME_WE)
    add_executable(${name} ${file})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE hasten_flags)
    foreach(item ${ARGN})
        if(TARGET hasten_${item})
            target_link_libraries(${name} PRIVATE hasten_${item})
        else()
            target_link_libraries(${name} PRIVATE ${item})
        endif()
    endforeach()
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 600
        ENVIRONMENT "HASTEN_TEST_DATA=${CMAKE_SOURCE_DIR}/tests")
endfunction()
