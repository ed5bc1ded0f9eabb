#pragma once

/// What members say the tensors of their slices come to, round by round. The digest of a whole
/// state follows from one list a slice, so that against the chronicle they verify themselves; while
/// nobody knows the next state yet, what most say is taken.

#include <map>
#include <set>
#include <vector>

#include "training/crew/blob_desk.hpp"
#include "training/crew/roster.hpp"

namespace tequio::training::crew_protocol {

/// Of so many rounds the lists are kept, and told.
inline constexpr std::uint64_t slice_lists_kept = 4;

class slice_lists {
public:
    using tensor_list = std::vector<base::digest>;
    using compose_function =
        std::function<base::result<base::digest>(const std::vector<std::vector<base::digest>>&)>;

    /// A list made here; returns its bytes and name as a blob.
    std::pair<base::byte_vector, base::blob_ref> own(std::uint64_t round, const base::digest& mean,
                                                     model_slice slice, tensor_list tensors);
    /// Lists of this node, for its status.
    const std::vector<slice_list>& own_names() const { return own_; }
    /// Notes what members say of S(round), which `mean` led to, and asks for what is missing.
    void step(base::time_point now, std::uint64_t round, const base::digest& mean, model_slice self,
              const roster& members, blob_desk& desk, std::vector<crew_effect>& out);
    /// Bytes of a list that was asked for; false when they are of no list.
    bool arrived(const base::blob_ref& ref, base::byte_view bytes, blob_desk& desk);

    /// This node's slice, and the others.
    struct crew_at {
        base::time_point now;
        model_slice self;
        const roster& members;
    };
    /// What the lists with most members behind them come to; nothing while one is missing, or with
    /// `agreed` while not most of those who hold a slice say the same, or when what others say of
    /// this node's own slice outweighs its own list.
    std::optional<base::digest> composed(std::uint64_t round, const base::digest& mean,
                                         const crew_at& crew, bool agreed,
                                         const compose_function& compose) const;
    /// More members say something else of this node's slice than say the same.
    bool outvoted(std::uint64_t round, const base::digest& mean, const crew_at& crew) const;
    /// Whether lists that were heard come to `state`. Cost: at most 64 states.
    bool prove(std::uint64_t round, const base::digest& mean, model_slice self,
               const base::digest& state, const compose_function& compose) const;
    /// Every slice's list is here.
    bool complete(std::uint64_t round, const base::digest& mean, model_slice self) const;
    void forget_before(std::uint64_t round);
    /// This node holds another slice from now on, and has said nothing of that.
    void forget_own() { own_.clear(); }
    /// The slices are others now.
    void clear();
    void check() const;

private:
    static constexpr std::size_t variants_max = 3;  ///< a slice and round; more are not heard
    static constexpr int proofs_max = 64;
    struct place {
        std::uint64_t round = 0;
        base::digest mean;
        std::uint32_t slice = 0;
        auto operator<=>(const place&) const = default;
    };
    const std::vector<base::blob_ref>* variants(const place& p) const;
    struct favourite {
        const base::blob_ref* list = nullptr;
        bool agreed = false;  ///< most of those who hold the slice say so
    };
    favourite favourite_of(const place& p, const crew_at& crew) const;

    std::vector<slice_list> own_;
    std::map<place, std::vector<base::blob_ref>> said_;  ///< of the own slice the own one first
    std::map<base::blob_ref, std::pair<std::uint64_t, tensor_list>> here_;
    std::map<base::blob_ref, std::uint64_t> wanted_;  ///< round
};

}  // namespace tequio::training::crew_protocol
