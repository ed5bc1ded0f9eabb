#include "node/cli/kernel_times.hpp"

#include <algorithm>

namespace tequio::node {

void kernel_times::count() {
    const auto now = clock::now();
    if (now_ != nullptr) now_->seconds += std::chrono::duration<double>(now - since_).count();
    since_ = now;
}

void kernel_times::note(const training::kernel_note& kernel) {
    if (now_ == nullptr) return;
    count();
    now_ = &kernels_[kernel.name];
    now_->name = kernel.name;
    now_->calls += 1;
    now_->flops += kernel.flops;
    now_->bytes += kernel.bytes;
}

void kernel_times::start() {
    now_ = &kernels_["other"];
    now_->name = "other";
    since_ = clock::now();
}

void kernel_times::stop() {
    count();
    now_ = nullptr;
}

std::vector<kernel_time> kernel_times::by_time() const {
    std::vector<kernel_time> out;
    for (const auto& [name, kernel] : kernels_) out.push_back(kernel);
    std::stable_sort(out.begin(), out.end(), [](const kernel_time& a, const kernel_time& b) {
        return a.seconds > b.seconds;
    });
    return out;
}

}  // namespace tequio::node
