#pragma once

/// Writes the state that a worker holds to a blob (training/full_state.hpp), straight from the
/// shared memory and some MiB at a time, so that whatever else waits for the storage thread goes
/// between.

#include <functional>
#include <memory>
#include <vector>

#include "node/io/blob_store.hpp"
#include "node/io/storage_thread.hpp"
#include "node/worker/state_memory.hpp"
#include "training/task.hpp"

namespace tequio::node {

class state_writer : public std::enable_shared_from_this<state_writer> {
public:
    /// On the network thread: the blob, or why there is none.
    using done = std::function<void(base::result<base::blob_ref>)>;

    /// `storage` and `blobs` outlive it. Ensures that `state` holds one. Nothing may be written
    /// there before `then` is called or `cancel` returned; if something is, the state's digest says
    /// so and there is no blob.
    state_writer(storage_thread& storage, blob_store& blobs,
                 std::shared_ptr<const training::task> task,
                 std::shared_ptr<const state_memory> state, done then);
    /// Once.
    void start();
    /// `then` is not called any more; what was written goes.
    void cancel();

private:
    void next();
    base::result<bool> write_some();
    base::result<void> begin();
    base::result<base::blob_ref> finish();
    void give_up();

    storage_thread& storage_;
    blob_store& blobs_;
    std::shared_ptr<const training::task> task_;
    std::shared_ptr<const state_memory> state_;
    done then_;

    // Of the storage thread.
    training::state_layout layout_;
    held_state name_;
    std::vector<std::span<const float>> tensors_;
    std::filesystem::path path_;
    unique_fd file_;
    std::uint64_t written_ = 0;
    std::size_t tensor_ = 0;             ///< in hand
    std::uint64_t at_ = 0;               ///< bytes of it
    std::vector<base::digest> leaves_;   ///< of its pieces so far
    std::vector<base::digest> digests_;  ///< of the tensors before
};

}  // namespace tequio::node
