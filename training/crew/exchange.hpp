#pragma once

/// Gathers the contributions of one round, or the same pieces of each, so that they can be summed:
/// for closing the round as its owner or one shard of it, for checking another's merge, or for
/// making a lost mean again. Takes each lane's blob from whoever holds it; a lane that nobody can
/// give is computed here.

#include <optional>
#include <set>
#include <vector>

#include "training/crew/blob_desk.hpp"
#include "training/crew/roster.hpp"
#include "training/crew/round_book.hpp"

namespace tequio::training::crew_protocol {

class exchange {
public:
    explicit exchange(const job_shape& shape) : shape_(shape) {}

    /// Begins on a round. `expected`: the contributions by lane when the chronicle has them; empty
    /// to take what the book resolves to. `pieces`: of each contribution; none: all. `lanes`: of
    /// those alone; none: of every lane.
    void begin(std::uint64_t round, std::vector<base::digest> expected, const round_book* book,
               base::piece_run pieces = {}, contribution_run lanes = {});
    /// Works on a round whose sum was made elsewhere, of these contributions.
    void adopt(std::uint64_t round, const std::vector<base::digest>& contributions,
               work_outcome made);
    void end();
    /// Others that gather the same pieces, and may have those that a lane's own node cannot give
    /// any more. `alone`: ask nobody else, for whoever computes a lane shall not send it twice.
    void lean_on(std::vector<base::node_id> helpers, bool alone = false);
    bool active() const { return active_; }
    bool works_on(std::uint64_t round) const { return active_ && round_ == round; }
    std::uint64_t round() const { return round_; }
    const base::piece_run& pieces() const { return pieces_; }
    const contribution_run& lanes() const { return lanes_; }

    /// A claim on this lane arrived.
    void offer(std::uint32_t lane);
    /// Asks for what is missing. `book` may be nullptr when `expected` was given.
    /// `fetches_max`: lanes under way at a time. Cost: the members; the lanes that are missing when
    /// anything has changed since the last time.
    void step(base::time_point now, const round_book* book, const roster& members, blob_desk& desk,
              std::vector<crew_effect>& out, std::size_t fetches_max = all);
    static constexpr std::size_t all = ~std::size_t{0};
    /// The blobs of all lanes that it gathers are here.
    bool complete() const { return active_ && got_ == lanes_.count; }
    std::vector<base::blob_ref> inputs() const;
    /// A lane whose blob nobody can give, to be computed here.
    std::optional<std::uint32_t> lost() const;
    /// All of those.
    const std::set<std::uint32_t>& all_lost() const { return lost_; }
    std::uint64_t gathered() const { return got_; }
    /// A lane that this node computed is still to come.
    bool awaits(const base::node_id& node, const round_book* book) const;

    /// The sum, once it was made from `inputs()`.
    std::optional<work_outcome> sum;

private:
    std::optional<base::blob_ref> ref_of(const round_book* book, std::uint32_t lane) const;
    std::optional<base::node_id> maker_of(const round_book* book, std::uint32_t lane) const;
    std::uint64_t run_bytes() const;
    bool nothing_new(base::time_point now, const round_book* book, const roster& members,
                     const blob_desk& desk);
    std::vector<base::node_id> holders_of(base::time_point now, const round_book* book,
                                          const roster& members, std::uint32_t lane,
                                          const base::blob_ref& ref) const;

    job_shape shape_;
    bool active_ = false;
    std::uint64_t round_ = 0;
    base::piece_run pieces_;
    contribution_run lanes_;
    std::vector<base::digest> expected_;
    std::vector<base::node_id> helpers_;
    bool helpers_alone_ = false;
    std::vector<std::optional<base::blob_ref>> refs_;  ///< by lane, when here
    std::set<std::uint32_t> wanted_;                   ///< known, not here
    std::set<std::uint32_t> lost_;
    std::uint64_t got_ = 0;
    // What the last step saw.
    bool short_of_room_ = false;
    bool others_ = true;  ///< other lanes, claims, members or helpers than that
    std::uint64_t fold_ = 0, stamp_ = 0, changes_ = 0;
    base::time_point due_{};  ///< the next question that has to be repeated
};

}  // namespace tequio::training::crew_protocol
