# What is installed: program, libhasten.so, libhasten.a, headers, hasten.pc, man page, completions.
# The rooms' objects are compiled once and linked into all three.

# hasten_products(ROOMS...): the libraries of these rooms, and the rules of `cmake --install`.
function(hasten_products)
    set(rooms)
    foreach(room ${ARGN})
        list(APPEND rooms hasten_${room})
    endforeach()
    list(TRANSFORM rooms REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
    list(TRANSFORM rooms REPLACE "(.+)" "$<TARGET_FILE:\\1>" OUTPUT_VARIABLE archives)

    # Both a version script and hidden visibility: neither a forgotten attribute nor a name that
    # happens to begin with hasten_ becomes a symbol that programs could lean on.
    add_library(hasten_shared SHARED ${objects})
    set(map ${CMAKE_SOURCE_DIR}/cmake/libhasten.map)
    target_link_options(hasten_shared PRIVATE -Wl,--version-script=${map})
    if(NOT HASTEN_SANITIZE)
        target_link_options(hasten_shared PRIVATE -Wl,--no-undefined)
    endif()
    get_property(libraries GLOBAL PROPERTY HASTEN_LIBRARIES)
    target_link_libraries(hasten_shared PRIVATE hasten_flags ${libraries})
    set_target_properties(hasten_shared PROPERTIES OUTPUT_NAME hasten LINKER_LANGUAGE C
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map})

    # One object whose inner names are local: in a static program, too, only hasten_* is taken.
    set(archive ${CMAKE_BINARY_DIR}/libhasten.a)
    set(object ${CMAKE_BINARY_DIR}/libhasten.o)
    add_custom_command(OUTPUT ${archive} BYPRODUCTS ${object}
        COMMAND ${CMAKE_LINKER} -r -o ${object} --whole-archive ${archives}
        COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${object}
        COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
        COMMAND ${CMAKE_AR} rcs ${archive} ${object}
        DEPENDS ${rooms} COMMENT "Linking libhasten.a" COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(hasten_archive ALL DEPENDS ${archive})

    get_property(names GLOBAL PROPERTY HASTEN_PC_LIBRARIES)
    list(TRANSFORM names PREPEND "-l")
    list(JOIN names " " HASTEN_PC_LIBRARIES)
    configure_file(cmake/hasten.pc.in hasten.pc @ONLY)

    install(TARGETS hasten hasten_shared RUNTIME DESTINATION bin LIBRARY DESTINATION lib)
    install(FILES ${archive} DESTINATION lib)
    install(FILES ${CMAKE_BINARY_DIR}/hasten.pc DESTINATION lib/pkgconfig)
    install(DIRECTORY include/hasten ${CMAKE_BINARY_DIR}/include/hasten DESTINATION include
        FILES_MATCHING PATTERN "*.h")
    install(CODE "set(hasten_program \"$<TARGET_FILE:hasten>\")")
    install(SCRIPT cmake/install_texts.cmake)
endfunction()
