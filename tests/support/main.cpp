// Where every Boost.Test program begins. Written out and not asked for by BOOST_TEST_MODULE, which
// would have to stand before the precompiled headers.

#include <boost/test/unit_test.hpp>

namespace {

void name_suite() {
    boost::unit_test::framework::master_test_suite().p_name.value = "tequio";
}

}  // namespace

#ifdef BOOST_TEST_DYN_LINK

int main(int argc, char** argv) {
    const auto begin = [] {
        name_suite();
        return true;
    };
    return boost::unit_test::unit_test_main(begin, argc, argv);
}

#else  // the static library has a main function, which calls this

boost::unit_test::test_suite* init_unit_test_suite(int, char**) {
    name_suite();
    return nullptr;
}

#endif
