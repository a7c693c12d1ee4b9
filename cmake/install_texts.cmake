# Run by `cmake --install`: man page and shell completions, as the program itself prints them from
# its command and option tables. A text that the program does not print is left out.

function(install_text path)
    execute_process(COMMAND ${hasten_program} ${ARGN} OUTPUT_VARIABLE text ERROR_QUIET
        RESULT_VARIABLE result)
    if(result EQUAL 0 AND NOT text STREQUAL "")
        set(full $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/share/${path})
        message(STATUS "Installing: ${full}")
        file(WRITE ${full} "${text}")
    endif()
endfunction()

install_text(man/man1/hasten.1 man)
install_text(bash-completion/completions/hasten completions bash)
install_text(zsh/site-functions/_hasten completions zsh)
install_text(fish/vendor_completions.d/hasten.fish completions fish)
