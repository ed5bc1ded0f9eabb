#pragma once

/// How kernels use several threads: they hand an executor a number of independent tasks. Tasks
/// split outputs, never sums (NUMERICS.md, ground rule 5), so the executor never decides a bit.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace tequio::training {

/// A reference to a callable `void(std::size_t task, unsigned thread)`. Does not own it: valid
/// while the callable lives, which `executor::run` guarantees by not returning earlier.
class task_ref {
public:
    template <class Body>
    requires(!std::is_same_v<std::remove_cvref_t<Body>, task_ref>) task_ref(Body&& body)
        : body_(const_cast<void*>(static_cast<const void*>(std::addressof(body)))),
          call_([](void* target, std::size_t task, unsigned thread) {
              (*static_cast<std::remove_reference_t<Body>*>(target))(task, thread);
          }) {}

    void operator()(std::size_t task, unsigned thread) const { call_(body_, task, thread); }

private:
    void* body_;
    void (*call_)(void*, std::size_t, unsigned);
};

/// What a kernel is called and what its definition costs, for measurements.
struct kernel_note {
    const char* name;
    std::uint64_t flops;  ///< a fused multiply-add counts as two
    std::uint64_t bytes;  ///< of its arrays, each read or written once; 0 where flops set the pace
};

/// Runs tasks. Each thread of an implementation has called `numerics::set_float_environment`.
class executor {
public:
    virtual ~executor() = default;
    /// Number of threads, at least 1 and constant; kernels size their workspaces by it.
    virtual unsigned threads() const = 0;
    /// Calls body(task, thread) once for every task in [0, tasks), in any order, and returns when
    /// all have returned. `thread` is in [0, threads()); no two running calls share it. Not
    /// reentrant.
    virtual void run(std::size_t tasks, task_ref body) = 0;
    /// Told by the caller of `run` that what follows, up to the next note, is this kernel. An
    /// executor that measures overrides it; kernels themselves read no clock.
    virtual void note(const kernel_note&) {}
};

/// One thread: the caller's.
class serial_executor final : public executor {
public:
    unsigned threads() const override { return 1; }
    void run(std::size_t tasks, task_ref body) override {
        for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
    }
};

}  // namespace tequio::training
