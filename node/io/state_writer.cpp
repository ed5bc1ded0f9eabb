#include "node/io/state_writer.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "node/core/errc.hpp"
#include "training/full_state.hpp"

namespace tequio::node {
namespace {

/// Some 20 ms of writing and hashing (guess); whole pieces of a blob, so that tensors can be hashed
/// on the way.
constexpr std::uint64_t bytes_at_once = 32 * base::piece_size_bytes;

}  // namespace

state_writer::state_writer(storage_thread& storage, blob_store& blobs,
                           std::shared_ptr<const training::task> task,
                           std::shared_ptr<const state_memory> state, done then)
    : storage_(storage),
      blobs_(blobs),
      task_(std::move(task)),
      state_(std::move(state)),
      then_(std::move(then)),
      layout_(training::layout_of(task_->work.model)),
      name_(*state_->held()),
      tensors_(training::full_state_tensors(layout_, state_->view())) {}

void state_writer::start() {
    next();
}

void state_writer::cancel() {
    if (!then_) return;
    then_ = nullptr;
    // At once: the next writer of this job makes its file behind this in the queue.
    storage_.run([self = shared_from_this()]() -> storage_thread::continuation {
        self->give_up();
        return {};
    });
}

void state_writer::next() {
    if (!then_) return;
    storage_.run([self = shared_from_this()]() -> storage_thread::continuation {
        const auto more = self->write_some();
        if (more && *more) return [self] { self->next(); };
        base::result<base::blob_ref> out =
            more ? self->finish() : base::result<base::blob_ref>(more.error());
        if (!out) self->give_up();
        return [self, out = std::move(out)] {
            if (self->then_) self->then_(out);
        };
    });
}

base::result<void> state_writer::begin() {
    std::uint64_t floats = 0;
    for (const auto& t : tensors_) floats += t.size();
    const auto header =
        training::full_state_header(training::recipe_id_of(task_->work), name_.round, floats);
    TEQUIO_TRY(path_, blobs_.making(training::task_id_of(*task_).hex() + "-state",
                                    header.size() + floats * sizeof(float)));
    file_ = unique_fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file_) return io_error(path_, "make", errno);
    TEQUIO_CHECK(write_at(file_.get(), header, 0, path_));
    written_ = header.size();
    return {};
}

/// True while there is more.
base::result<bool> state_writer::write_some() {
    if (!file_) TEQUIO_CHECK(begin());
    for (std::uint64_t room = bytes_at_once; room > 0 && tensor_ < tensors_.size();) {
        const auto bytes = training::float_bytes(tensors_[tensor_]);
        const auto size = std::min<std::uint64_t>(bytes_at_once, bytes.size() - at_);
        const auto part = bytes.subspan(at_, size);
        TEQUIO_CHECK(write_at(file_.get(), part, written_, path_));
        const auto leaves = base::blob_leaves(part);
        leaves_.insert(leaves_.end(), leaves.begin(), leaves.end());
        written_ += size;
        at_ += size;
        room -= std::min(room, size);
        if (at_ < bytes.size()) continue;
        digests_.push_back(base::blob_ref_of(leaves_, bytes.size()).root);
        leaves_.clear();
        at_ = 0;
        ++tensor_;
    }
    return tensor_ < tensors_.size();
}

base::result<base::blob_ref> state_writer::finish() {
    if (training::state_digest_from(layout_, digests_) != name_.digest) {
        return fail(errc::compute_failed, "the state has changed in memory since it was made");
    }
    if (::fsync(file_.get()) != 0) return io_error(path_, "sync", errno);
    file_ = {};
    return blobs_.put_file(path_);
}

void state_writer::give_up() {
    file_ = {};
    if (!path_.empty()) ::unlink(path_.c_str());
    path_.clear();
}

}  // namespace tequio::node
