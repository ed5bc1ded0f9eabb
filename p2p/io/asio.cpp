// The one place that compiles Asio's bodies (BOOST_ASIO_SEPARATE_COMPILATION); everyone else links
// them.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
