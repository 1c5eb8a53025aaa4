# SPDX-License-Identifier: Apache-2.0
#
# A room is a folder in src/ and include/coppice/ that may look only downwards (tools/check/layers.txt).

# coppice_room(<room> SOURCES <file>…): the object library coppice_<room>.
function(coppice_room room)
  cmake_parse_arguments(arg "" "" "SOURCES" ${ARGN})
  if(NOT arg_SOURCES)
    return()
  endif()
  add_library(coppice_${room} OBJECT ${arg_SOURCES})
  target_link_libraries(coppice_${room} PRIVATE coppice_private)
endfunction()

# coppice_component(<component> [LINKS <target>…] [PRIVATE_LINKS <target>…] SOURCES <file>…): a library on top of the core
# that users link by itself, as coppice::<component>.
function(coppice_component component)
  cmake_parse_arguments(arg "" "" "LINKS;PRIVATE_LINKS;SOURCES" ${ARGN})
  if(NOT arg_SOURCES)
    return()
  endif()
  add_library(coppice_${component} STATIC ${arg_SOURCES})
  add_library(coppice::${component} ALIAS coppice_${component})
  set_target_properties(coppice_${component} PROPERTIES EXPORT_NAME ${component})
  target_link_libraries(coppice_${component} PUBLIC coppice ${arg_LINKS} PRIVATE $<BUILD_INTERFACE:coppice_private>)
  foreach(link IN LISTS arg_PRIVATE_LINKS)
    target_link_libraries(coppice_${component} PRIVATE $<BUILD_INTERFACE:${link}>)
  endforeach()
  set_property(GLOBAL APPEND PROPERTY coppice_components coppice_${component})
endfunction()

# coppice_program(<name> [LINKS <target>…] SOURCES <file>…): a program of this project.
function(coppice_program name)
  cmake_parse_arguments(arg "" "" "LINKS;SOURCES" ${ARGN})
  if(NOT arg_SOURCES)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE coppice_private ${arg_LINKS} coppice)
endfunction()
