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
if(TEQUIO_WERROR)
    target_compile_options(tequio_warnings INTERFACE -Werror)
endif()

# tequio_library(NAME SOURCES ... HEADERS ... LINKS ... PRIVATE_LINKS ...)
# One static library a folder. HEADERS are its public face, each compiled alone by the target all_verify_interface_header_sets.
function(tequio_library name)
    cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;LINKS;PRIVATE_LINKS" ${ARGN})
    add_library(tequio_${name} STATIC ${arg_SOURCES})
    add_library(tequio::${name} ALIAS tequio_${name})
    target_sources(tequio_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${arg_HEADERS})
    target_include_directories(tequio_${name} PUBLIC ${PROJECT_SOURCE_DIR})
    target_link_libraries(tequio_${name} PUBLIC ${arg_LINKS} tequio_options PRIVATE ${arg_PRIVATE_LINKS} tequio_warnings)
    set_target_properties(tequio_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
endfunction()
