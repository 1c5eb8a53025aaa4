# SPDX-License-Identifier: Apache-2.0
#
# Variables: BUILD the build folder, SOURCE the stranger's project, WORK a folder to write in, COMPILER the C++ compiler.
file(REMOVE_RECURSE ${WORK}/prefix ${WORK}/build)
function(must)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "failed (${status}): ${ARGN}\n${out}")
  endif()
endfunction()

must(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
must(${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${WORK}/build
  -D CMAKE_PREFIX_PATH=${WORK}/prefix -D CMAKE_CXX_COMPILER=${COMPILER})
must(${CMAKE_COMMAND} --build ${WORK}/build)
must(${WORK}/build/stranger)
