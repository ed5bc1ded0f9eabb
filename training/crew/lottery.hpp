#pragma once

/// Whose lanes are computed a second time, and by whom. Two rules (DESIGN.md section 8):
///
/// 1. Every lane of a newcomer: a node of which fewer than `newcomer_lanes` results were matched,
/// as
///    far as this node has seen.
/// 2. Of the others' lanes a share, by private lottery: a member draws (round, lane) when
///    SHA-256(domain, task, round, lane, commitment, s) falls below its part of the share. The
///    member has shown SHA-256(s) while nobody knew the round's commitments, and shows s when the
///    round has closed, after which no commitment counts that was not made: the worker cannot know
///    who will look, the checker cannot choose, and everybody can tell afterwards who had to.
///
/// A secret s is good for one round: showing it gives no other away.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/time.hpp"
#include "training/crew/round_book.hpp"

namespace tequio::training::crew_protocol {

/// Results of a node that must have been matched before the lottery is enough. One in twenty lanes
/// is the floor of the lottery, so this many looked at are as many as it would look at in the next
/// 400; a node that falsifies one result in seven is caught on the way in 95 of 100 cases.
inline constexpr std::uint64_t newcomer_lanes = 20;

/// How far each node's results were matched: this node's own opinion, of itself too. What it thinks
/// from other jobs counts as if it had been seen in this one.
class standing_book {
public:
    /// What is known from other jobs, on top of what is known from this one.
    void know(const std::vector<crew_standing>& elsewhere);
    bool newcomer(const base::node_id& node) const;
    /// In this job a result of `node` was wrong by this node's own computing: it gets no work.
    bool excluded(const base::node_id& node) const;
    /// Counts the claims of a settled round; says what is new, by node. A node that was
    /// contradicted begins again.
    std::vector<standing_changed> count(const round_book& settled, std::uint32_t lanes);
    /// The other members take this node's word without looking at each lane.
    void believe(const base::node_id& node);
    /// Of this job, what `know` said apart.
    base::byte_vector encode() const;
    /// Errors: `errc::bad_message`; the book is then empty.
    base::result<void> decode(base::byte_view bytes);

private:
    static constexpr std::size_t nodes_max = 4 * crew_groups_nodes_max;
    struct record {
        std::uint64_t matched = 0;  ///< at most `newcomer_lanes`
        bool excluded = false;
    };
    record* record_of(const base::node_id& node);
    std::map<base::node_id, record> seen_;
    std::map<base::node_id, crew_standing> elsewhere_;
};

class lottery {
public:
    /// `share`: of the lanes, 0..1; 1 is every lane by rule and draws nothing. `root`: what this
    /// node's secrets are made from; known to it alone.
    lottery(const job_shape& shape, base::node_id self, double share, const base::digest& root)
        : shape_(shape), self_(self), share_(share), root_(root) {}

    bool takes_all() const { return share_ >= 1; }
    /// What this node shows of rounds `first` to `last`: secrets of those before `closed`, of the
    /// others what they hash to.
    std::vector<ticket> tickets(std::uint64_t first, std::uint64_t closed,
                                std::uint64_t last) const;
    /// Errors: `errc::bad_message` when a secret is not the one that was committed to, or a second
    /// commitment differs; nothing is kept then.
    base::result<void> admissible(const base::node_id& from,
                                  const std::vector<ticket>& tickets) const;
    /// Keeps commitments for rounds `fresh` to `high`, of which nobody has a result yet, and the
    /// secrets behind them. A secret that was not committed to in time is of no use.
    void heard(const base::node_id& from, const std::vector<ticket>& tickets, std::uint64_t fresh,
               std::uint64_t high);
    /// True when `node` has committed to a secret for the round and has not shown it.
    bool owes(std::uint64_t round, const base::node_id& node) const;

    /// Draws for a closed round that has a claim for each lane; some of it when that is much: call
    /// again until `drawn_up`. True when it came to something new. Cost: at most `draws_max`
    /// hashes.
    bool step(const round_book& book);
    /// Everything known about the round is drawn.
    bool drawn_up(std::uint64_t round) const;
    /// Who has drawn this lane: empty for nobody.
    const std::set<base::node_id>& drawers(std::uint64_t round, std::uint32_t lane) const;
    void forget_before(std::uint64_t round);
    /// Aborts when an invariant is broken.
    void check() const;

private:
    static constexpr std::uint64_t draws_max = 4096;
    struct part {
        base::digest commitment;
        std::optional<base::digest> secret;
        std::uint32_t next = 0;  ///< lane to draw for
    };
    struct draw {
        std::map<base::node_id, part> parts;
        std::map<std::uint32_t, std::set<base::node_id>> drawn;
        std::size_t workers = 0;  ///< among whom the share was divided
        std::uint64_t bound = 0;  ///< `draw_bound` for so many
        bool begun = false;
        bool at_rest = false;  ///< of the secrets and workers known everything is drawn
    };
    base::digest secret_of(std::uint64_t round) const;

    job_shape shape_;
    base::node_id self_;
    double share_;
    base::digest root_;
    std::map<std::uint64_t, draw> rounds_;
};

/// The secret behind all others of this node: from a signature that nobody else can make, so that
/// it need not be stored. `sign` is deterministic (Ed25519).
base::digest lottery_root(const base::task_id& task, const crew_keys& keys);
/// The bound under which 64 drawn bits count, for one of `among` members that together look at
/// `share` of the lanes: 1 - (1 - share)^(1 / among), of 2^64.
std::uint64_t draw_bound(double share, std::size_t among);

}  // namespace tequio::training::crew_protocol
