#include "training/errc.hpp"

namespace tequio::training {
namespace {

class training_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.training"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
            case errc::bad_recipe:
                return "malformed recipe";
            case errc::bad_job_file:
                return "malformed job file";
            case errc::not_in_version:
                return "not in this version";
            case errc::bad_data:
                return "unusable data";
            case errc::bad_task:
                return "malformed task";
            case errc::task_too_large:
                return "task too large";
            case errc::task_unsigned:
                return "task without a valid signature";
            case errc::task_expired:
                return "task expired";
            case errc::task_from_future:
                return "task created in the future";
            case errc::task_wrong_swarm:
                return "task of another swarm";
            case errc::task_replayed:
                return "task known already";
            case errc::task_exactness:
                return "task of another exactness identity";
            case errc::refused_by_policy:
                return "refused by the owner's policy";
            case errc::bad_contribution:
                return "malformed contribution";
            case errc::incomplete_sum:
                return "incomplete sum";
            case errc::bad_chronicle:
                return "malformed chronicle entry";
            case errc::not_finite:
                return "a value is not finite";
            case errc::stopped:
                return "stopped";
            case errc::bad_state:
                return "malformed state";
            case errc::out_of_memory:
                return "out of memory";
            case errc::bad_message:
                return "malformed crew message";
            case errc::environment_changed:
                return "floating-point environment changed";
        }
        return "unknown error";
    }
};

// One object in one source file: two would compare unequal (Seastar #3563).
const training_category category;

}  // namespace

boost::system::error_code make_error_code(errc e) {
    return {static_cast<int>(e), category};
}

}  // namespace tequio::training
