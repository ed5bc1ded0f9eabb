/// Network core and transport together on real sockets: the small shell that a daemon will be.

#include <boost/asio/post.hpp>

#include "tests/unit/p2p/loopback.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

struct real_node {
    real_node(boost::asio::io_context& io, std::uint64_t number)
        : links(io, number), core(config(), links.self, base::rng(number)) {
        links.on_event = [this](p2p::network_event& e) { handle(std::move(e)); };
        links.listen();
        handle(p2p::set_own_addresses{{links.where}});
    }

    static p2p::network_config config() {
        p2p::network_config c;
        c.wall_at_start = {1'700'000'000};
        return c;
    }

    void handle(p2p::network_event event) {
        p2p::network_effects effects;
        (void)core.handle(real_now(), std::move(event), effects);
        core.check();
        for (auto& e : effects) {
            if (!links.links->carry_out(e)) keep(e);
        }
    }

    void keep(p2p::network_effect& effect) {
        if (auto* read = std::get_if<p2p::read_piece>(&effect)) {
            std::optional<base::blob_piece> piece;
            if (const auto at = blobs.find(read->ref); at != blobs.end()) {
                piece = cached_piece(at->first, at->second, read->index);
            }
            later(p2p::piece_read{read->request, std::move(piece)});
        } else if (auto* store = std::get_if<p2p::store_piece>(&effect)) {
            auto& blob = blobs[store->ref];
            blob.resize(store->ref.size);
            std::copy(store->piece.bytes.begin(), store->piece.bytes.end(),
                      blob.begin() +
                          static_cast<std::ptrdiff_t>(store->piece.index * base::piece_size_bytes));
        } else if (std::holds_alternative<p2p::blob_complete>(effect)) {
            ++completed;
        } else if (auto* note = std::get_if<p2p::note_received>(&effect)) {
            notes.push_back(note->bytes);
            later(p2p::judge_note{note->id, p2p::note_verdict::accept, ""});
        }
    }

    // As the answer of another thread would come; not after this node is gone.
    void later(p2p::network_event event) {
        boost::asio::post(links.io,
                          [this, alive = std::weak_ptr<int>(still_here), e = std::move(event)] {
                              if (!alive.expired()) handle(e);
                          });
    }

    // Leaves are kept, as a blob store keeps them: hashing the blob for each piece would be slow.
    base::blob_piece cached_piece(const base::blob_ref& ref, const base::byte_vector& blob,
                                  std::uint64_t index) {
        auto& known = leaves[ref];
        if (known.empty()) known = base::blob_leaves(blob);
        const auto from = index * base::piece_size_bytes;
        const auto view = base::byte_view(blob).subspan(from, ref.piece_size(index));
        return {index, {view.begin(), view.end()}, base::merkle_path(known, index)};
    }

    void tick() {
        if (core.next_deadline() <= real_now()) handle(p2p::tick{});
    }

    loopback_node links;
    p2p::network core;
    std::map<base::blob_ref, base::byte_vector> blobs;
    std::map<base::blob_ref, std::vector<base::digest>> leaves;
    std::vector<base::byte_vector> notes;
    std::size_t completed = 0;
    std::shared_ptr<int> still_here = std::make_shared<int>(0);
};

bool run_nodes(boost::asio::io_context& io, std::vector<std::unique_ptr<real_node>>& nodes,
               const std::function<bool()>& done) {
    return run_until(
        io,
        [&] {
            for (auto& n : nodes) n->tick();
            return done();
        },
        20s);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(full_node)

BOOST_AUTO_TEST_CASE(nodes_with_one_known_address_meet_and_share_notes_and_blobs) {
    boost::asio::io_context io;
    std::vector<std::unique_ptr<real_node>> nodes;
    for (std::uint64_t i = 0; i < 4; ++i) {
        nodes.push_back(std::make_unique<real_node>(io, i + 1));
        if (i > 0) nodes[i]->handle(p2p::add_address{nodes[0]->links.where});
    }
    BOOST_REQUIRE(run_nodes(io, nodes, [&] {
        return std::all_of(nodes.begin(), nodes.end(),
                           [](const auto& n) { return n->core.peers().size() == 3; });
    }));

    const auto note = bytes_of(1, 5000);
    nodes[3]->handle(p2p::publish_note{1, note});
    BOOST_TEST(run_nodes(io, nodes, [&] {
        return nodes[0]->notes.size() + nodes[1]->notes.size() + nodes[2]->notes.size() == 3;
    }));
    BOOST_TEST((nodes[0]->notes.front() == note));

    const auto blob = bytes_of(2, 24 << 20);
    const auto ref = base::blob_ref_of(blob);
    nodes[1]->blobs[ref] = nodes[2]->blobs[ref] = blob;
    const auto start = std::chrono::steady_clock::now();
    nodes[0]->handle(
        p2p::fetch_blob{ref, {nodes[1]->links.self.node(), nodes[2]->links.self.node()}, {}});
    // One of the two holders goes away in the middle.
    BOOST_REQUIRE(run_nodes(io, nodes, [&] {
        const auto t = nodes[0]->core.transfers();
        return !t.empty() && t.front().pieces_done > 20;
    }));
    BOOST_TEST(nodes[0]->completed == 0u);
    nodes.erase(nodes.begin() + 1);
    BOOST_REQUIRE(run_nodes(io, nodes, [&] { return nodes[0]->completed == 1; }));
    const auto took = std::chrono::steady_clock::now() - start;
    BOOST_TEST((nodes[0]->blobs[ref] == blob));
    BOOST_TEST_MESSAGE("24 MiB in " << std::chrono::duration<double>(took).count() << " s");
}

BOOST_AUTO_TEST_SUITE_END()
