#pragma once

/// The pure functions that a crew's workers compute, for virtual workers: results are remembered by
/// their arguments, so that forty virtual machines cost one real computation.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "training/crew.hpp"

namespace tequio::simulation {

/// A lane's result with the blob's bytes beside the outcome.
struct computed {
    training::work_outcome outcome;
    base::byte_vector bytes;  ///< of outcome.blob, when there is one
};

class lane_functions {
public:
    virtual ~lane_functions() = default;
    virtual std::uint64_t lanes() const = 0;
    virtual std::uint64_t rounds() const = 0;
    virtual bool validation() const = 0;
    virtual std::uint64_t contribution_bytes() const = 0;
    virtual std::uint64_t mean_bytes() const = 0;

    virtual base::digest initial() = 0;
    virtual computed lane(const base::digest& state, std::uint64_t round, std::uint64_t lane) = 0;
    /// Not finite when the state is not.
    virtual double validate(const base::digest& state, std::uint64_t round) = 0;
    /// `contributions` in lane order.
    virtual computed sum(const std::vector<base::byte_view>& contributions) = 0;
    virtual base::digest apply(const base::digest& state, std::uint64_t round,
                               base::byte_view mean) = 0;

    // In shards. What a shard needs of contributions is looked at alone: the rest may be zeros.
    virtual std::uint64_t mean_units() const = 0;
    virtual training::crew_shard shard(training::contribution_run units) const = 0;
    /// `contributions` in lane order.
    virtual computed sum_shard(const std::vector<base::byte_view>& contributions,
                               training::contribution_run units) = 0;
    /// What `sum` gives; nothing when a part is none.
    virtual std::optional<computed> join(const std::vector<base::byte_view>& parts) = 0;

    // In groups. Sums of some lanes, of which what a shard does not need may be zeros.
    virtual training::crew_sums sums(const training::partial_sums& which,
                                     training::contribution_run shard) const;
    virtual computed sum_lanes(const std::vector<base::byte_view>& contributions,
                               const training::partial_sums& which);
    /// What `sum_shard` of all lanes gives; nothing when some are none. `which`: of each.
    virtual std::optional<computed> add_sums(const std::vector<base::byte_view>& sums,
                                             const std::vector<training::partial_sums>& which,
                                             training::contribution_run units);
};

/// What a virtual worker writes in place of a full state, and reads: such a blob of so many bytes,
/// at least 40, of which a stand-in has the first alone; the state in it, zero when it is none of
/// that round.
computed stored_state(const base::digest& state, std::uint64_t round, std::uint64_t size,
                      bool stand_in);
base::digest loaded_state(base::byte_view bytes, std::uint64_t round);

/// The hash that toy models are made of: SHA-256 over all of it.
base::digest hash_of(std::string_view what, base::byte_view bytes, std::uint64_t a,
                     std::uint64_t b);

/// Hashes in place of training: fast, and as deterministic.
struct hash_job {
    std::uint64_t lanes = 3;
    std::uint64_t rounds = 4;
    bool validation = true;
    std::uint64_t contribution_bytes = 600;
    std::uint64_t mean_bytes = 500;
    /// Above 1: pieces of the mean and of contributions, the last of the sizes above.
    std::uint64_t units = 1;
    /// Sizes of shards as the crew counts them; without, a unit's neighbour is needed as well.
    std::function<training::crew_shard(training::contribution_run)> shard{};
    /// Likewise of sums in groups.
    std::function<training::crew_sums(const training::partial_sums&, training::contribution_run)>
        sums{};
    /// Blobs are named and have sizes, the whole ones those above, but their bytes are a few that
    /// stand for them. Needs `shard` where there are several units.
    bool stand_ins = false;
    /// Where it diverges, if it does.
    std::optional<std::pair<std::uint64_t, std::uint64_t>> diverges{};  ///< round, lane
};
std::unique_ptr<lane_functions> make_hash_functions(const hash_job& job);

/// Real training of a tiny gpt2: 1 layer, width 16, 2 heads, context 8.
struct tiny_job {
    std::uint64_t lanes = 3;
    std::uint64_t rounds = 4;
    double lr = 4e-3;  ///< a huge one diverges, given steps enough
    std::uint64_t inner_steps = 2;
    bool synchronous = false;  ///< then inner_steps does not count
    std::string codec = "mxint8";
    std::string codec_down = "mxint8";
    std::uint64_t width = 16;  ///< 96: three units of f32
};
std::unique_ptr<lane_functions> make_tiny_functions(const tiny_job& job);
/// The same of any small recipe of a whole model, and its data.
std::unique_ptr<lane_functions> make_true_functions(const training::recipe& r,
                                                    base::byte_vector tokens);

/// What one machine alone comes to: the chronicle, or where it diverges.
struct replayed {
    std::vector<training::chronicle_entry> entries;
    std::optional<std::string> diverged;  ///< "round 1, lane 2, step 3, tensor x"
};
replayed replay(lane_functions& functions);

}  // namespace tequio::simulation
