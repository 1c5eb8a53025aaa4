# SPDX-License-Identifier: Apache-2.0
#
# find_package(coppice) gives coppice::coppice (the core) and, where they were built, coppice::app and coppice::spdlog.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

get_property(components GLOBAL PROPERTY coppice_components)
install(TARGETS coppice ${components} EXPORT coppice)
install(DIRECTORY include/coppice DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT coppice NAMESPACE coppice:: FILE coppice-targets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/coppice)
configure_package_config_file(cmake/coppice-config.cmake.in ${PROJECT_BINARY_DIR}/coppice-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/coppice)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/coppice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/coppice-config.cmake ${PROJECT_BINARY_DIR}/coppice-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/coppice)
