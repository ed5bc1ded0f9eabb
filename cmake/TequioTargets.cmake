# Flags that decide bits (NUMERICS.md, ground rule 3) stand last on every command line of ours; warnings stand on a
# target of their own, linked privately.
add_library(tequio_options INTERFACE)
target_compile_options(tequio_options INTERFACE -fno-fast-math -ffp-contract=off)
target_compile_definitions(tequio_options INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION
                                                    BOOST_BEAST_SEPARATE_COMPILATION)

add_library(tequio_warnings INTERFACE)
target_compile_options(tequio_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
# GCC 12 warns of overlapping copies inside std::string's operator+ that cannot happen (GCC bug 105651).
target_compile_options(tequio_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
# With precompiled headers GCC 12 also warns of copies beyond the ends of std::string that cannot happen (bug 105329 and its
# kin, gone in 13). AddressSanitizer looks for the real ones.
target_compile_options(tequio_warnings INTERFACE
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-array-bounds;-Wno-stringop-overflow>)
if(TEQUIO_WERROR)
    target_compile_options(tequio_warnings INTERFACE -Werror)
endif()

# Precompiled headers: parsing these takes half a second, and nearly every file includes most of them. Only what comes
# from outside stands here, so that a change of ours compiles no more than before. Every file still includes what it uses:
# -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without, and all_verify_interface_header_sets too.
set(tequio_common_headers <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <optional> <set> <span> <string>
                          <string_view> <utility> <variant> <vector> <boost/system/result.hpp>)
# What ccache needs to cache files that use them; harmless otherwise.
target_compile_options(tequio_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)

# Unity builds (TEQUIO_UNITY): files of a target are compiled sixteen at a time, so that what they all include is parsed, and what
# they all instantiate is compiled, once. Names in anonymous namespaces must differ within a library then. What has flags of its
# own to keep its bits by (numerics, the fast_math tests) is compiled file by file always: UNITY_BUILD OFF stands there.
if(TEQUIO_UNITY)
    set(CMAKE_UNITY_BUILD ON)
    set(CMAKE_UNITY_BUILD_BATCH_SIZE 16)
    # To GCC every file of ours is a header then, whose classes should not hold types of an anonymous namespace; and a local
    # name hides nothing of its own file when it hides a name of the next. Builds without this option warn of both.
    target_compile_options(tequio_warnings INTERFACE
        $<$<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>:-Wno-shadow;$<$<CXX_COMPILER_ID:GNU>:-Wshadow=local;-Wno-subobject-linkage>>)
endif()

# tequio_library(NAME SOURCES ... HEADERS ... LINKS ... PRIVATE_LINKS ...)
# One static library a folder. HEADERS are its public face, each compiled alone by the target all_verify_interface_header_sets.
# PRECOMPILE: headers from outside that most of its files include; without it the precompiled headers of base are used.
function(tequio_library name)
    cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;LINKS;PRIVATE_LINKS;PRECOMPILE" ${ARGN})
    add_library(tequio_${name} STATIC ${arg_SOURCES})
    add_library(tequio::${name} ALIAS tequio_${name})
    target_sources(tequio_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${arg_HEADERS})
    target_include_directories(tequio_${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(tequio_${name} PUBLIC ${arg_LINKS} tequio_options PRIVATE ${arg_PRIVATE_LINKS} tequio_warnings)
    set_target_properties(tequio_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
    if(arg_PRECOMPILE)
        target_precompile_headers(tequio_${name} PRIVATE ${arg_PRECOMPILE})
    else()
        target_precompile_headers(tequio_${name} REUSE_FROM tequio_base)
    endif()
endfunction()

# tequio_wayland_protocol(TARGET SIDE NAME FOLDER): what wayland-scanner makes of FOLDER/NAME.xml of wayland-protocols, for
# SIDE client or server: <NAME-SIDE-protocol.h> and <NAME-protocol.c>, which one source of a program includes: the tables of
# both sides are the same.
function(tequio_wayland_protocol target side name folder)
    set(xml ${TEQUIO_WAYLAND_PROTOCOLS}/${folder}/${name}.xml)
    set(generated ${CMAKE_CURRENT_BINARY_DIR}/wayland)
    file(MAKE_DIRECTORY ${generated})
    set(header ${generated}/${name}-${side}-protocol.h)
    set(code ${generated}/${name}-protocol.c)
    add_custom_command(OUTPUT ${header} COMMAND ${TEQUIO_WAYLAND_SCANNER} ${side}-header ${xml} ${header} DEPENDS ${xml} VERBATIM)
    add_custom_command(OUTPUT ${code} COMMAND ${TEQUIO_WAYLAND_SCANNER} private-code ${xml} ${code} DEPENDS ${xml} VERBATIM)
    target_sources(${target} PRIVATE ${header} ${code})
    set_source_files_properties(${header} ${code} PROPERTIES HEADER_FILE_ONLY ON GENERATED ON)
    target_include_directories(${target} SYSTEM PRIVATE ${generated})
endfunction()
