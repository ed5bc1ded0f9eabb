#define BOOST_TEST_MODULE tequio
#include <boost/test/unit_test.hpp>
